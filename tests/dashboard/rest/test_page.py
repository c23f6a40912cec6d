"""The reference of REST: current, and safe whatever the document says."""

from pathlib import Path

from autodepth.dashboard.rest.application import openapi_document
from autodepth.dashboard.rest.page import operations, reference_html, reference_markdown

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rest.md"


def test_the_reference_is_that_of_the_routes():
    assert PAGE.read_text() == reference_markdown(openapi_document()), (
        "write it anew: python -m autodepth.dashboard.rest.page docs/reference/rest.md"
    )


def test_every_route_is_on_the_page_and_in_the_docs():
    document = openapi_document()
    page, text = reference_html(document), reference_markdown(document)
    assert len(list(operations(document))) > 30
    for method, path, _ in operations(document):
        assert f"{method} {path}" in page
        assert f"`{method} {path}`" in text


def test_markup_in_a_document_stays_text():
    document = {
        "info": {"title": "<b>t</b>", "description": "<script>"},
        "paths": {"/<i>": {"get": {"summary": "<img>", "responses": {"200": {}}}}},
        "components": {"schemas": {"XAnswer": {"description": "<b>", "properties": {"<u>": {}}}}},
    }
    page = reference_html(document)
    for tag in ("<b>", "<script>", "<i>", "<img>", "<u>"):
        assert tag not in page
