"""What is asked and answered over REST where people steer; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from autodepth.service.queue.allowances import Account
from autodepth.service.queue.carrying.carrier import answer_of
from autodepth.service.queue.carrying.commands import Place, shown
from autodepth.service.queue.wishes import SearchWish
from autodepth.service.queue.work import Kind, State, Wanted, Work

Format = Literal["torch", "onnx", "int8", "executorch"]


def _plain(text: str) -> str:
    """Refuse what is no text for a command or a file: control characters, half characters."""
    if any(ord(char) < 32 and char not in "\n\t\r" for char in text) or "\x7f" in text:
        raise ValueError("must not have control characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be Unicode text") from None
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_plain)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]
SpaceText = Annotated[str, StringConstraints(max_length=500_000), AfterValidator(_plain)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SpaceRequest(_Asked):
    """A space, with the same options as `autodepth search`."""

    space: Name | None = Field(None, description="Name of a shipped space, see GET /spaces.")
    space_text: SpaceText | None = Field(None, description="Text of a space file in its place.")
    data: Line | None = Field(None, description="Takes the place of the space's data.")
    network: Line | None = Field(None, description="Takes the place of the space's network.")
    weights: Line | None = Field(None, description="A file to start from, or `pretrained`.")
    weights_key: Line | None = Field(None, description="Where in that file the weights are.")
    settings: list[Line] = Field(
        [], max_length=100, description="Changes to the space: `train.epochs=3`."
    )
    seed: int | None = Field(None, ge=0, description="Takes the place of the space's seed.")


class DryRunRequest(SpaceRequest):
    """A search that is asked about, with the same options as `autodepth search`."""

    budget: Line = Field(description="What may be spent: 50gpu-h, 90cpu-min, 12h, 400trials.")
    concurrency: int | None = Field(None, ge=1, description="Trials at a time; one per device.")
    per_trial: Line | None = Field(None, description="What a trial reserves, such as 0.25gpu.")
    start_from: Name | None = Field(None, description="Study whose front is tried first.")
    formats: list[Format] = Field([], max_length=9, description="What to export to later.")
    trust_data: bool = Field(default=False, description="Look at no images before they are needed.")

    def wish(self) -> SearchWish:
        """Return the same as a wish."""
        return SearchWish(**{"study": "new", **self.model_dump()})


class SearchRequest(DryRunRequest):
    """A search that is to be queued, with the same options as `autodepth search`."""

    study: Name = Field(description="A new name for the study.")


class ConcurrencyRequest(_Asked):
    """How many trials are to run at a time."""

    trials: int = Field(ge=1, description="At most the places that the study has reserved.")


class BudgetRequest(_Asked):
    """What is added to a budget."""

    budget: Line = Field(description="What to add: 10gpu-h, 30cpu-min, 50trials.")


class PolicyRequest(_Asked):
    """A policy by hand."""

    policy: dict[str, Any] = Field(description="Settings as in a policy.yaml; others by default.")


class ConfirmRequest(_Asked):
    """How the front is to be confirmed."""

    seeds: int = Field(2, ge=1, le=100, description="Fresh seeds per member of the front.")
    controls: list[Line] = Field([], max_length=100, description="By name, or `all` alone.")


class ExportRequest(_Asked):
    """What is to be exported."""

    to: Name = Field(description="Name of a new folder.")
    select: Line = Field("knee", description="knee, best-accuracy, smallest, trial:7, 'macs<=1M'.")
    formats: list[Format] = Field(["torch", "onnx"], max_length=9, description="Files.")


class RegisterRequest(_Asked):
    """Under which name an export is to be registered in MLflow."""

    name: Name | None = Field(None, description="Name of the model; else the study's.")


class WorkAnswer(BaseModel):
    """One piece of work of the queue."""

    number: int = Field(description="From 1, in the order of asking.")
    owner: str
    kind: Kind
    study: str
    arguments: dict[str, Any] = Field(description="What was asked for.")
    state: State
    wanted: Wanted = Field(description="What a person wants that has not come yet; else run.")
    place: int | None = Field(description="How many wait before it; null where it does not wait.")
    attempt: int = Field(description="Processes that have carried it out; above 1 if one died.")
    slot: int | None
    concurrency: int | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    told: str | None = Field(description="Why it is as it is, in words.")
    reserved: float = Field(description="Device seconds taken of its owner's allowance at most.")
    charged: float = Field(description="Device seconds it has taken.")
    command: str = Field(description="The command that does the same.")
    answer: Any = Field(
        None, description="What the command printed with --json: of one work alone, at its end."
    )

    @classmethod
    def of(
        cls, work: Work, place: Place, before: int | None, *, answered: bool = False
    ) -> WorkAnswer:
        """Return what is told of a work.

        Args:
            work: the work.
            place: where works are carried out.
            before: how many wait before it.
            answered: whether what its command printed is told, too.
        """
        answer = answer_of(place.folder(work.number), work.attempt) if answered else None
        return cls(**work.to_dict(), place=before, command=shown(work, place), answer=answer)


class QueueAnswer(BaseModel):
    """The queue."""

    slots: int = Field(description="Studies at a time.")
    works: list[WorkAnswer] = Field(description="In the order of asking.")


class AccountAnswer(BaseModel):
    """What an owner may spend, device seconds each."""

    name: str
    device: Literal["gpu", "cpu"] | None
    allowed: float | None = Field(description="null where nothing limits it.")
    charged: float
    reserved: float
    left: float | None

    @classmethod
    def of(cls, account: Account) -> AccountAnswer:
        """Return what is told of an account."""
        return cls(**vars(account), left=account.left)


class ConcurrencyAnswer(BaseModel):
    """What was asked of a driver."""

    study: str
    concurrency: int


class DeletedAnswer(BaseModel):
    """What is gone."""

    study: str
    deleted: bool


class ExportAnswer(BaseModel):
    """An exported network."""

    name: str
    study: str | None = Field(description="null where it was not exported by this queue.")
    bytes: int
    verification: Any = Field(description="How each file compares with the searched network.")


class AboutAnswer(BaseModel):
    """Who asks whom."""

    version: str
    name: str = Field(description="Of whoever asks.")
    role: Literal["read", "steer"]
    steers: bool = Field(description="Whether this server can be steered at all.")


class MistakesAnswer(BaseModel):
    """Mistakes of a space; none if it is fine."""

    mistakes: list[str]


class ErrorAnswer(BaseModel):
    """Why something cannot be done, in words."""

    error: str
