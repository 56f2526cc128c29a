"""The house stands: every room imports from lower floors alone, no file is long, the README shows the map as it is."""

import ast
import re
import subprocess
import sys
import textwrap

import pytest

from camlib import paths
from camlib.compendium import floors
from camlib.registry import _Methods

ORDER = [
    {"paths.py", "checkpoints.py", "options.py"},
    {"pictures.py", "outputs.py", "layers/", "framework.py", "registry.py"},
    {"networks/"},
    {"engine/"},
    {"data/"},
    {"zoo/"},
    {"trace.py"},
    {"weights/"},
    {"baselines/"},
    {"plots/"},
    {"explanation/"},
    {"metrics/"},
    {"studies/", "training/"},
    {"evaluate/"},
    {"compendium/"},
    {"cli.py"},
    {"__main__.py"},
]
"""Rooms from the ground up: a file imports from rooms of earlier lines, and from its own room."""
GROUND = ORDER[0]
SPINE = {
    "pictures.py",
    "outputs.py",
    "layers/",
    "networks/",
    "trace.py",
    "framework.py",
    "registry.py",
    "explanation/",
}
LONGEST_FILE, LONGEST_FUNCTION = 350, 45  # lines; of a function without its docstring
LONGER: dict[str, int] = {}
"""Files that may be longer for now, and how long: it may shrink and never grow."""

SOURCES = floors.sources()
WINGS = sorted({source.room for source in SOURCES if source.room.endswith("/")})


def house(folder, files):
    """A package called house of these files, path -> text."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "house"


# -- the house


def test_every_room_has_its_place():
    assert {source.room for source in SOURCES} == set().union(*ORDER)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)
def test_no_file_imports_from_a_room_above_its_own(source):
    rank = {room: number for number, level in enumerate(ORDER) for room in level}
    above = {room for room in source.imports if rank[room] >= rank[source.room]}
    assert above == set(), f"{source.path} imports from {sorted(above)}: move what is needed to a lower floor"


def test_no_rooms_import_each_other_in_a_circle():
    placed = [room for level in floors.floors(SOURCES) for room in level]
    assert sorted(placed) == sorted(set().union(*ORDER))


def test_the_spine_stands_on_no_wing_but_the_engine_and_the_weights():
    """Two exceptions: METHODS imports the wings that bring methods by name, when it is first read; and what a person
    keeps of an explanation has to be drawn, so that the front door stands on the plots, too, which stand on nothing."""
    allowed = SPINE | GROUND | {"engine/", "weights/", "plots/"}
    assert {(s.path, room) for s in SOURCES if s.room in SPINE for room in s.imports - allowed} == set()
    assert _Methods.wings == ("camlib.weights", "camlib.baselines")


@pytest.mark.parametrize("wing", WINGS)
def test_every_wing_says_what_lives_there_and_what_to_take(wing):
    (face,) = (source for source in SOURCES if source.path == f"{wing}__init__.py")
    first, empty, standing, taken = (ast.get_docstring(face.tree) or "").splitlines()[:4]
    assert (first[-1], empty) == (".", "")
    assert re.match(r"(It|They) stands? on .+ import", standing)
    assert taken.startswith("Take ")


def test_no_file_is_long():
    lengths = {source.path: source.lines for source in SOURCES}
    long = {path: n for path, n in lengths.items() if n > LONGER.get(path, LONGEST_FILE)}
    assert long == {}, (
        f"camlib/{', camlib/'.join(long)}: {LONGEST_FILE} lines at most, move one subject to another file"
    )
    assert {path: n for path, n in LONGER.items() if lengths.get(path, 0) <= LONGEST_FILE} == {}, (
        "no exception any more"
    )


def test_no_function_is_long():
    longest = {f"{source.path}: {source.longest_function[1]}": source.longest_function[0] for source in SOURCES}
    print(*sorted(longest.items(), key=lambda item: -item[1])[:3], sep="\n")
    long = {name: n for name, n in longest.items() if n > LONGEST_FUNCTION}
    assert long == {}, f"camlib/{', camlib/'.join(long)}: {LONGEST_FUNCTION} lines at most without its docstring"


def test_the_package_alone_loads_nothing_but_itself():
    code = """
        import sys
        before = set(sys.modules)
        import camlib
        new = {name.partition(".")[0] for name in sys.modules.keys() - before}
        print(*sorted(new - sys.stdlib_module_names))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=paths.ROOT)
    assert done.stdout.split() == ["camlib", "lazy_loader"]


# -- the map


def test_the_readme_shows_the_floors_as_they_are():
    """Rooms, floors and words exactly; numbers of lines may be a tenth off before somebody has to renew them."""
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    shown, now = text.partition(floors.BEGIN)[2].partition(floors.END)[0], floors.block(SOURCES)
    count = re.compile(r" +([\d,]+)  (?=\S)")
    assert count.sub("  ", shown) == count.sub("  ", now), "make map MAP=--renew"
    for told, counted in zip(count.findall(shown), count.findall(now), strict=True):
        told, counted = (int(n.replace(",", "")) for n in (told, counted))
        assert abs(told - counted) <= 20 + counted / 10, "make map MAP=--renew"


def test_make_prints_the_map():
    text = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^map: .*\n\t@\$\(VENV\) -m camlib\.compendium\.floors", text, re.MULTILINE)
    assert '@echo "make map ' in text


def test_every_way_to_import_is_seen(tmp_path):
    files = {
        "__init__.pyi": "from . import wing as wing\nfrom .ground import Thing as Thing\n",
        "ground.py": '"""Ground."""\n',
        "wing/a.py": "import house.ground\n",
        "wing/b.py": "def late():\n    from house.ground import x\n    from house.wing import a\n",
        "one.py": "from house import ground, wing\n",
        "two.py": "import house\n\nhouse.wing.a, house.other, house.Thing\n",
        "three.py": "from house.wing.a import x\nfrom elsewhere import ground\n'from house import ground'\n",
    }
    assert {source.path: set(source.imports) for source in floors.sources(house(tmp_path, files))} == {
        "ground.py": set(),
        "wing/a.py": {"ground.py"},
        "wing/b.py": {"ground.py"},
        "one.py": {"ground.py", "wing/"},
        "two.py": {"ground.py", "wing/"},
        "three.py": {"wing/"},
    }


def test_a_room_stands_one_floor_above_the_highest_that_it_needs(tmp_path):
    files = {
        "ground.py": '"""Stone."""\n',
        "alone.py": "x = 1\n",
        "middle.py": "from house import ground\n",
        "roof/a.py": "from house import middle\n",
        "roof/__init__.py": '"""``Roof``.\n\nMore."""\n',
    }
    found = floors.sources(house(tmp_path, files))
    assert floors.floors(found) == [["alone.py", "ground.py"], ["middle.py"], ["roof/"]]
    assert floors.map_text(found).splitlines() == [
        "floor 3  roof/               4  Roof.",
        "floor 2  middle.py           1",
        "floor 1  alone.py            1",
        "         ground.py           1  Stone.",
    ]


def test_a_circle_is_named(tmp_path):
    files = {
        "a.py": "from house import b\n",
        "b.py": "from house import c\n",
        "c.py": "import house.a\n",
        "free.py": "",
    }
    with pytest.raises(ValueError, match=r"circle.*a\.py imports b\.py; b\.py imports c\.py; c\.py imports a\.py\."):
        floors.floors(floors.sources(house(tmp_path, files)))


def test_the_longest_function_is_counted_without_its_docstring(tmp_path):
    said = '    """It.\n\n    Says.\n    """\n'
    text = f"def told():\n{said}    return 1\n\n\nclass A:\n    def long(self):\n        x = 1\n        return x\n"
    (source,) = floors.sources(house(tmp_path, {"a.py": text}))
    assert (source.lines, source.longest_function) == (12, (3, "long"))


def test_only_the_block_of_the_readme_is_renewed_and_it_must_be_there():
    before, after = "# title\n\n", "\n\nmore <b>\n"
    text = f"{before}{floors.BEGIN}anything\n{floors.END}{after}"
    assert floors.renewed(text, SOURCES) == f"{before}{floors.BEGIN}{floors.block(SOURCES)}{floors.END}{after}"
    with pytest.raises(ValueError, match="has no lines <!-- begin:floors --> and <!-- end:floors -->"):
        floors.renewed("# title\n", SOURCES)
