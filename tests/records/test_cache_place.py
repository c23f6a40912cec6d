"""Where the stage cache is."""

from autodepth.records.cache_place import cache_location


def test_the_cache_of_a_cluster_is_in_its_storage(monkeypatch):
    monkeypatch.setenv("AUTODEPTH_CACHE", "/only/here")

    assert cache_location("s3://bucket/ad/") == "s3://bucket/ad/cache"
