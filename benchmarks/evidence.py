"""What README.md claims, the result behind each figure, and whether the code has changed since.

    python benchmarks/evidence.py                   # writes evidence.toml as README.md's table
    python benchmarks/evidence.py --measured masks  # after a benchmark was run again

A claim says which code its result depends on. A digest of that code is kept from when it was
measured, so the table tells by itself which results are older than what they speak of.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLAIMS = Path(__file__).parent / "evidence.toml"
README = ROOT / "README.md"
_BEGIN, _END = "<!-- evidence: python benchmarks/evidence.py -->", "<!-- end of evidence -->"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row of the table.

    Args:
        name: in evidence.toml.
        what: is measured, with its unit and conditions.
        ours: what autodepth comes to.
        others: what it is compared with comes to.
        figures: numbers of both, as the result file has them.
        result: that file, below benchmarks/.
        command: makes it again.
        code: files and folders that the result depends on, below the repository.
        at: commit that was measured.
        digest: of that code then.
    """

    name: str
    what: str
    ours: str
    others: str
    figures: list[str]
    result: str
    command: str
    code: list[str]
    at: str
    digest: str

    @property
    def missing(self) -> list[str]:
        """Figures that the result file does not have."""
        told = (CLAIMS.parent / self.result).read_text()
        return [figure for figure in self.figures if figure not in told]

    @property
    def is_current(self) -> bool:
        """Whether the code is as it was measured."""
        return self.digest == digest(ROOT, self.code)


def read_claims(text: str | None = None) -> list[Claim]:
    """Return the claims of evidence.toml."""
    told = tomllib.loads(CLAIMS.read_text() if text is None else text)
    return [Claim(name=name, **values) for name, values in told.items()]


def digest(root: Path, code: Iterable[str]) -> str:
    """Return what the Python files of some files and folders come to, 12 hexadecimal digits."""
    files = sorted(
        file
        for path in code
        for file in ((root / path).rglob("*.py") if (root / path).is_dir() else [root / path])
    )
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.relative_to(root).as_posix()}\n".encode())
        content.update(file.read_bytes())
    return content.hexdigest()[:12]


def table(claims: Iterable[Claim]) -> str:
    """Return the claims as Markdown."""
    lines = ["| measured | autodepth | beside it | made by | code |", "|---|---|---|---|---|"]
    for claim in claims:
        code = "as now" if claim.is_current else f"changed since {claim.at}"
        made_by = f"[`{claim.command}`](benchmarks/{claim.result})"
        lines.append(f"| {claim.what} | {claim.ours} | {claim.others} | {made_by} | {code} |")
    return "\n".join(lines)


def with_table(readme: str, claims: Iterable[Claim]) -> str:
    """Return README.md with the table as it is now."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table(claims)}\n{_END}{after}"


def measured(text: str, name: str, at: str) -> str:
    """Return evidence.toml with the code of a claim as it is now."""
    (claim,) = (claim for claim in read_claims(text) if claim.name == name)
    head, section, rest = text.partition(f"[{name}]\n")
    for key, value in (("at", at), ("digest", digest(ROOT, claim.code))):
        rest = re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "{value}"', rest, count=1)
    return head + section + rest


def main() -> None:
    """Write the table, and before it what was measured just now."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [claim.name for claim in read_claims()]
    parser.add_argument("--measured", nargs="+", choices=names, default=[])
    for name in parser.parse_args().measured:
        told = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        CLAIMS.write_text(measured(CLAIMS.read_text(), name, told.stdout.strip()))
    README.write_text(with_table(README.read_text(), read_claims()))


if __name__ == "__main__":
    main()
