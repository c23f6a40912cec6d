"""Proposals of a real network and space, nothing trained."""

import pytest

from autodepth.front.objective import Objective
from autodepth.policy.policy import Policy
from autodepth.search.foresight import Foresight
from autodepth.search.parents import Parents
from autodepth.search.proposals import Proposals
from autodepth.search.searcher import Searcher
from autodepth.service.searching import plan_search
from autodepth.space.shipped import default_space

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=1.0),
)
SMALL = ("network.name=resnet14", "data.train_images=48", "data.validation=60")


@pytest.fixture
def make_proposals():
    def proposals(*settings, first=(), sampler="random"):
        plan = plan_search(
            default_space(), budget="1trials",
            settings=[*SMALL, *settings, f"sampler.name={sampler}"],
        )  # fmt: skip
        dimensions = plan.space.dimensions_for(plan.network.num_stages, len(plan.network.branches))
        return Proposals(
            dimensions,
            lambda point: Policy.from_dict(plan.space.policy_values(point)),
            searcher=Searcher(dimensions, OBJECTIVES, sampler=plan.space.sampler, seed=0),
            foresight=Foresight(plan.network, plan.setting, plan.space.constraints),
            parents=Parents(seed=0),
            first=first,
        )

    return proposals
