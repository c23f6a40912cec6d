"""Figures of pages: numbers that were measured, and nothing that is typed."""

from figures_drawn import all_figures, figures_of

PAGE = """Trained for 0.5 h, `--epochs 2.5`, [90.1 %](results/v1.2.md), 2 of 3.

| by depth | 77.5 ± 0.2 | 1,234 ms |

    autodepth search --budget 1.5cpu-h

```yaml
p_L: 0.8
```

```text
trial 3: 91.5%
```
"""


def test_figures_have_a_fraction_or_a_unit_and_are_not_typed():
    found = [(figure.line, figure.figure) for figure in figures_of("page.md", PAGE)]
    assert found == [(1, "0.5"), (1, "90.1 %"), (3, "77.5 ± 0.2"), (3, "1,234 ms"), (12, "91.5%")]


def test_pages_written_from_the_code_are_left_out():
    pages = {figure.page for figure in all_figures()}
    assert "README.md" in pages
    assert not [page for page in pages if page.startswith("docs/reference/")]
