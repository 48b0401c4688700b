"""A table as Markdown and as LaTeX, whatever its cells hold; and those of the committed results in a real document."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench.report.table import Table, number_columns, text_columns
from ppbench.report.table_files import write_table
from tests.helpers.paths import RESULTS

COLUMNS = (*text_columns("scheme", "variant"), *number_columns("accuracy"), *text_columns("label", over="paper & us"))
NASTY = (
    r"a_b & 50 % of $x^2$ {or} #1 \section{no} ~",
    "[-3] *starred* <b>bold</b> `code` | pipe",
    "-0.01 -- µ μ × ± ≤ ≥ – — … ✓ ’ \"quoted\" 'single' !`",  # noqa: RUF001
    "größe café naïve Ångström Škoda façade łódź œuvre ß",
    "电 Ω 🙂 e\N{COMBINING ACUTE ACCENT} \x07 \N{NO-BREAK SPACE} \N{LINE SEPARATOR} new\n\nparagraph",
    "[first in its row] cryptonets_throughput_tenseal_of_a_name_that_is_long/and_longer " * 3,
)
ESCAPED = re.compile(r"\\[&%$#_{}\"'`^~]|\\[a-z]+")


def table(rows: list[tuple[str, str, str, str]], title: str = "A title") -> Table:
    return Table(title, COLUMNS, tuple(rows), notes=("A note.", title), details=("- a detail",))


def written(folder: Path, *tables: Table) -> tuple[str, str]:
    """As Markdown and as LaTeX."""
    markdown, latex = write_table("mine", tables, folder)
    return markdown.read_text(), latex.read_text()


def body(latex: str) -> list[str]:
    """The rows, without what LaTeX writes itself."""
    (rows,) = re.findall(r"\\midrule\n(.*)\\bottomrule", latex, re.DOTALL)
    return [row.removesuffix(r" \tabularnewline") for row in rows.splitlines()]


@given(st.lists(st.tuples(*[st.text(max_size=40)] * 4), min_size=1, max_size=5), st.text(max_size=40))
def test_no_cell_breaks_the_table(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str, str]], title: str
) -> None:
    rows = [tuple(cell.encode(errors="replace").decode() for cell in row) for row in rows]  # type: ignore[misc]
    title = title.encode(errors="replace").decode()
    markdown, latex = written(tmp_path_factory.mktemp("tables"), table(rows, title))
    lines = [line for line in markdown.split("\n") if line.startswith("| ")][2:][: len(rows)]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == len(COLUMNS) + 1 for line in lines)
    assert latex.isascii()
    assert len(body(latex)) == len(rows)
    for row in body(latex):
        bare = ESCAPED.sub("", row)
        assert bare.count("&") == len(COLUMNS) - 1
        assert not set(bare) & set("%#_^~\\")
        assert not bare.lstrip().startswith(("[", "*"))
    bare = ESCAPED.sub("", latex)
    assert bare.count("$") % 2 == 0
    assert balanced(bare)


def balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def test_a_heading_over_columns_is_told_in_both(tmp_path: Path) -> None:
    columns = (*text_columns("scheme"), *number_columns("paper", "measured", over="rounds"), *number_columns("n"))
    markdown, latex = written(tmp_path, Table("Rounds", columns, (("mpc", "2", "46", "512"),)))
    assert markdown.splitlines()[2] == "| scheme | rounds: paper | measured |   n |"
    assert r"\multicolumn{2}{c}{rounds}" in latex
    assert r"\cmidrule(lr){2-3}" in latex


def test_a_table_is_as_wide_as_one_column_if_it_can(tmp_path: Path) -> None:
    _, narrow = written(tmp_path, table([("mpc", "", "99.22 %", "high")]))
    _, wide = written(tmp_path, table([("mpc " * 30, "random_projection " * 8, "99.22 %", "high")]))
    assert r"\begin{table}" in narrow
    assert r"\begin{table*}" in wide
    assert "p{" in wide, "words are broken over lines"


def test_a_table_that_no_page_is_wide_enough_for_is_several(tmp_path: Path) -> None:
    titles = [f"agreement{i}" for i in range(20)]
    one = Table("Wide", (*text_columns("scheme"), *number_columns(*titles)), (("mpc", *titles), ("local", *titles)))
    markdown, latex = written(tmp_path, one)
    captions = re.findall(r"\\caption{(.*)}", latex)
    assert captions == [f"Wide ({i} of {len(captions)})" for i in range(1, len(captions) + 1)]
    assert len(captions) > 1
    assert latex.count("mpc & ") == len(captions), "each part has the names of its rows"
    assert latex.count("agreement7 ") == 3
    assert len(markdown.splitlines()) == 6


def test_what_is_longer_than_a_page_is_cut_and_says_so(tmp_path: Path) -> None:
    markdown, latex = written(tmp_path, table([(f"scheme {i}", "", "1", "") for i in range(200)]))
    assert f"The first {len(body(latex))} of 200 rows; mine.md has all." in latex
    assert 20 < len(body(latex)) < 60
    assert "scheme 199" in markdown
    assert "- a detail" in markdown


def test_several_tables_say_once_in_markdown_and_each_in_print_what_they_share(tmp_path: Path) -> None:
    one = table([("mpc", "", "1", "")])
    markdown, latex = written(tmp_path, one, one)
    assert markdown.count("A note.") == 1
    assert latex.count("A note.") == 2
    assert re.findall(r"\\label{(.*)}", latex) == ["tab:mine-1", "tab:mine-2"]


@pytest.mark.latex
def test_a_real_latex_sets_them(tmp_path: Path) -> None:
    """All tables of the committed results, which fit, and one of nasty cells, in two columns as wide as IEEE's."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex: apt-get install texlive-latex-recommended")
    write_table("nasty", [table([(text, text, text[:8], text) for text in NASTY], title) for title in NASTY], tmp_path)
    files = [*sorted(RESULTS.glob("*/tables/*.tex")), tmp_path / "tables/nasty.tex"]
    needed = {package for file in files for package in re.findall(r"\\usepackage{(.*?)}", file.read_text())}
    document = [
        r"\documentclass[twocolumn]{article}",
        rf"\usepackage{{{','.join(needed)}}}",
        r"\setlength{\textwidth}{516pt}\setlength{\columnsep}{12pt}\setlength{\hoffset}{-1in}",
        r"\begin{document}",
        *(rf"\input{{{file}}}\clearpage" for file in files),
        r"\end{document}",
    ]
    (tmp_path / "document.tex").write_text("\n".join(document))
    command = ["pdflatex", "-interaction=nonstopmode", "-file-line-error", "document.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    # A line of the log is cut where a name is long.
    told, _, of_nasty = ended.stdout.replace("\n", "").partition("nasty.tex")
    assert not re.findall(r":\d+: [^(]*", told + of_nasty)
    assert not re.findall(r"Overfull[^(]*\([\d.]+pt too (?:wide|high)\).*?\d+--\d+|Float too large.{40}", told)
    assert ended.returncode == 0
    assert of_nasty
    assert len(files) > 10
