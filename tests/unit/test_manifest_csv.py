"""CSV manifests: every spelling of a table that programs write, and every way in which one is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.manifest import Problems, open_manifest
from producers.manifest.cells.spoilt import INVISIBLE
from producers.manifest.source import standard_input
from restyle.errors import ManifestError
from tests.support.manifests import good, read, read_file, refusal

TABLE = "id,image,strength,title\na,s3://b/a.jpg,0.5,Mug\nb,s3://b/b.jpg,,Bowl\n"
TWO = ["s3://b/a.jpg", "s3://b/b.jpg"]


# -- forms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.rstrip("\n"),
        "\ufeff" + TABLE,
        "\ufeff" + TABLE.replace(",", ";").replace("\n", "\r\n"),
        gzip.compress(TABLE.encode(), mtime=0),
        TABLE.replace("id,", '"id",').replace("Mug", '"Mug"'),
        TABLE.replace("id,image,strength", " ID , Image ,STRENGTH "),
        TABLE.replace("\n", ",\n"),
        TABLE.replace("\n", "\n\n"),
        "\n\n" + TABLE,
        TABLE.replace("\nb", "\n,,,\n \nb"),
        '\ufeff"sep=,"\r\n' + TABLE,
        "sep=;\n\n" + TABLE.replace(",", ";"),
        "SEP=\t\n" + TABLE.replace(",", "\t"),
    ],
    ids=[
        "comma", "semicolon", "tab", "crlf", "cr", "no last line end", "bom", "bom semicolon crlf", "gzip", "quoted",
        "names in capitals", "a blank column", "blank lines", "blank first lines", "lines of empty cells",
        "a line for Excel", "a line for Excel and semicolons", "a line for Excel and tabs",
    ],
)  # fmt: skip
def test_every_spelling_reads_the_same(content: str | bytes) -> None:
    """Delimiter, line ends, marks, quotes and blank lines make no difference."""
    found = good(content)
    assert [(e.id, e.image, e.params, e.meta) for e in found.entries] == [
        ("a", "s3://b/a.jpg", {"strength": 0.5}, {"title": "Mug"}),
        ("b", "s3://b/b.jpg", {}, {"title": "Bowl"}),
    ]
    assert not found.manifest.is_report


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (TABLE, [2, 3]),
        ("\n\n" + TABLE, [4, 5]),
        ("sep=,\n" + TABLE, [3, 4]),
        (TABLE.replace("Mug", '"Mug\nof\noak"'), [2, 5]),
        (TABLE.replace("Mug", '"Mug\r\nof oak"'), [2, 4]),
        (TABLE.replace("title", '"ti\ntle"'), [3, 4]),
        (TABLE.replace("\nb", "\n\n\n,,,\nb"), [2, 6]),
        (TABLE.replace("\n", "\r\n").replace("Mug", '"Mug\r\n\r\n"'), [2, 5]),
    ],
)
def test_lines_are_those_of_an_editor(content: str, lines: list[int]) -> None:
    """Cells with line ends in them, and blank lines, count as an editor counts them."""
    assert good(content).lines == lines


def test_cells_keep_what_is_in_their_quotes() -> None:
    """Delimiters, doubled quotes, line ends and spaces inside quotes belong to the cell."""
    (entry,) = good('id,image,title\na,s3://b/a.jpg,"a ""big"", red\r\nmug "\n').entries
    assert entry.meta == {"title": 'a "big", red\r\nmug '}


def test_a_semicolon_table_may_have_commas_in_a_name() -> None:
    """The delimiter is the one that finds our columns, not the one that finds the most."""
    (entry,) = good('image;"title, short, or none"\ns3://b/a.jpg;Mug\n').entries
    assert entry.meta == {"title, short, or none": "Mug"}


def test_one_column_is_enough() -> None:
    """A list of images under the word image is a manifest."""
    assert good("image\ns3://b/a.jpg\ns3://b/b.jpg\n").images == TWO


def test_a_long_cell() -> None:
    """A cell may be longer than the csv module's own 131,072 characters; only as metadata it is too much."""
    long = "mug " * 50_000
    (entry,) = good(f"image,prompt\ns3://b/a.jpg,{long}\n").entries
    assert entry.params == {"prompt": long}
    assert "hold 200,005 bytes together; at most 8,000 fit" in read(f"image,title\ns3://b/a.jpg,{long}\n").told[0]


_cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=20)


@given(
    rows=st.lists(st.tuples(_cells, _cells), max_size=5),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_cell(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    """Whatever stands in quoted cells is read back; blank cells, and those of invisible characters alone, are none."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    unseen = INVISIBLE + " \t\r\n\u00a0"
    table = [["image", "title", "note"], *(["s3://b/a.jpg", *row] for row in rows)]
    found = good(end.join(delimiter.join(map(quoted, row)) for row in table))
    expected = [
        {n: c for n, c in zip(("title", "note"), row, strict=True) if c.strip() and c.strip(unseen)} for row in rows
    ]
    assert [entry.meta for entry in found.entries] == expected


# -- what is wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("x,s3://b/x.jpg,half,Mug", "2: strength: 'half' is not a number"),
        ("x,s3://b/x.jpg,\"0,5\",Mug", "2: strength: '0,5' is not a number; write 0.5 with a point"),
        ("x,s3://b/x.jpg,nan,Mug", "2: strength: 'nan' is not a number"),
        ("x,s3://b/x.jpg,1e999,Mug", "2: strength: '1e999' is not a number"),
        ("x,,0.5,Mug", "2: image: is missing"),
        ("x", "2: image: is missing"),
        ("x,s3://b/x.jpg,0.5,Mug,more", "2: : the row has 5 cells, the header 4; is a quote or a delimiter amiss?"),
        ("a//b,s3://b/x.jpg,,", "2: id: the id has a part '' between slashes"),
        ("../x,s3://b/x.jpg,,", "2: id: the id has a part '..' between slashes"),
        ("x,s3://b/x/,,", "2: image: s3://b/x/: names a whole bucket or prefix"),
        ("x,s3://,,", "2: image: s3://: not an s3:// URI"),
        ("x,https://me:word@shop/x.jpg,,", "2: image: https://***: has a user or a password in it"),
        ("x,HTTP://shop/x.jpg,,", "2: image: http://shop/x.jpg: http:// is not fetched"),
        ("x,https://shop/x.jpg?token=***,,", "2: image: https://***: has *** where a report leaves out"),
        ("x,ftp://shop/x.jpg,,", "2: image: ftp://shop/x.jpg: ftp:// is not read"),
        ("x,\"data:image/png;base64,AAAA\",,", "2: image: data:image/png;base64,AAAA: a picture inside the manifest"),
        ("x,no/such.jpg,,", "there is no file"),
    ],
)  # fmt: skip
def test_bad_lines(row: str, told: str) -> None:
    """A bad line is told by line and column, and the good ones are read on."""
    found = read(f"id,image,strength,title\n{row}\nb,s3://b/b.jpg,,\n")
    (problem,) = found.told
    assert told in problem
    assert (found.ids, found.lines) == (["b"], [3])


def test_addresses_on_the_web() -> None:
    """They are taken as they are asked for, and ids are made of their paths."""
    found = read("image\nhttps://Shop.example/P/x y.jpg?v=1#top\nHTTPS://shop.example/P/z.jpg\n")
    assert found.images == ["https://shop.example/P/x%20y.jpg?v=1", "https://shop.example/P/z.jpg"]
    assert found.ids == ["P/x y", "P/z"]


def test_a_signed_link_that_has_ended_is_a_bad_line() -> None:
    """It is told with the time; what may be a secret is not."""
    link = "https://b.s3.amazonaws.com/k.jpg?X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-Signature=word"
    (told,) = read(f"image\n{link}\n").told
    assert "is a signed link that ended at 2020-01-01 00:01 UTC" in told
    assert "word" not in told


def test_a_row_tells_all_that_is_wrong_with_it() -> None:
    """Several faults of a row are told together."""
    found = read("id,image,strength,seed,mark\n..,,x,1.5,maybe\n")
    assert [told.split(": ")[1] for told in found.told] == ["id", "image", "mark", "seed", "strength"]


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("seed", "-1", -1),
        ("seed", "7.0", 7),
        ("seed", "+7", 7),
        ("seed", "999999999999999", 999_999_999_999_999),
        ("samples", " 2 ", 2),
        ("guidance_scale", "7", 7.0),
        ("strength", ".5", 0.5),
        ("strength", "5e-1", 0.5),
        ("base64", "TRUE", True),
        ("base64", "0", False),
        ("scheduler", " Euler a ", "Euler a"),
        ("prompt", "007", "007"),
        ("Guidance_Scale", "7.5", 7.5),
    ],
)
def test_cells_take_the_type_of_their_parameter(name: str, cell: str, value: object) -> None:
    """Cells are read as the API's types, in the ways in which spreadsheets write them."""
    (entry,) = good(f"image,{name}\ns3://b/a.jpg,{cell}\n").entries
    assert entry.params == {name.lower(): value}
    assert type(entry.params[name.lower()]) is type(value)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("seed", "1.5"), ("seed", "1e3"), ("seed", "9" * 30), ("samples", "two"), ("samples", "٢"), ("base64", "maybe"),
        ("seed", "1.000"), ("seed", "1,000"), ("seed", "12 000"), ("seed", "1'000"), ("seed", "-1.234.567"),
        ("base64", "2"), ("strength", "50%"), ("strength", "inf"), ("strength", "0x1"), ("strength", "1_0"),
    ],
)  # fmt: skip
def test_cells_of_another_type(name: str, cell: str) -> None:
    """What Python would take for a number, and a person would not, is none."""
    (told,) = read(f'image,{name}\ns3://b/a.jpg,"{cell}"\n').told
    assert told.startswith(f"2: {name}: ")
    assert ("write it without a separator" in told) is ("000" in cell or "567" in cell)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "-: is empty"),
        (b"\xef\xbb\xbf\r\n \n", "-: is empty"),
        (gzip.compress(b"", mtime=0), "-: is empty"),
        (b'image,title\ns3://b/a.jpg,x\ns3://b/b.jpg,"Mug\ns3://b/c.jpg,y\n', "-:3: the row that begins here"),
        (b'image,title\ns3://b/a.jpg,"x"y\n', "-:2: the row that begins here is no CSV"),
        (gzip.compress(TABLE.encode() * 9000, mtime=0)[:900], "-: is not whole: gzip says"),
        (gzip.compress(TABLE.encode(), mtime=0)[:-4], "-: is not whole: gzip says"),
        (gzip.compress(TABLE.encode(), mtime=0) + b"more", "-: is not whole: gzip says"),
        (TABLE.encode("utf-16"), "is not UTF-8 but probably UTF-16: save it as CSV UTF-8, or convert it by `iconv"),
        (TABLE.encode("utf-16-le"), "is not UTF-8 but probably UTF-16LE"),
        (TABLE.encode("utf-16-be"), "is not UTF-8 but probably UTF-16BE"),
        (TABLE.encode("utf-32"), "is not UTF-8 but probably UTF-32"),
        (TABLE.replace("Bowl", "Größe").encode("cp1252"), "-:3: is not UTF-8 but probably WINDOWS-1252"),
        (TABLE.replace("Bowl", "Größe").encode("cp1252").replace(b"\n", b"\r\n"), "-:3: is not UTF-8"),
        (gzip.compress(TABLE.replace("Mug", "Größe").encode("cp1252"), mtime=0), "-:2: is not UTF-8 but probably"),
        (TABLE.replace("Mug", "グラス商品").encode("shift_jis"), "-:2: is not UTF-8 but probably SHIFT_JIS"),
        (TABLE.encode() + "é".encode()[:1], "-:4: is not UTF-8"),
        (TABLE.replace("Mug", "M\0ug").encode(), "-:2: has a NUL byte, which no text has"),
        (b"PK\x03\x04 and more", "is a ZIP file and no workbook: unpack it"),
        (b"PAR1 and more", "is no Parquet file that can be read"),
        (b"\xff\xd8\xff\xe0 and more", "is a picture: give the folder that it is in"),
        (b"image,title\ns3://b/a.jpg," + b"x" * 1_000_001, "-:2: the line is longer than 1,000,000 characters"),
    ],
)  # fmt: skip
def test_files_that_are_no_table(content: bytes, reason: str) -> None:
    """What cannot be read at all is refused by line, with what to do about it."""
    assert reason in refusal(content)


def test_a_missing_file(tmp_path: Path) -> None:
    """A manifest that is not there is told by its name."""
    with pytest.raises(ManifestError, match=r"no\.csv: there is no such file or folder"):
        open_manifest(str(tmp_path / "no.csv"), store=None)


@pytest.mark.parametrize("name", ["a\0b.csv", "x" * 5000])
def test_a_name_that_no_file_has(name: str) -> None:
    """What no file can be called is told in a few words, not as a bug of ours."""
    with pytest.raises(ManifestError, match="cannot be read") as caught:
        open_manifest(name, store=None)
    assert len(caught.value.message) < 300


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """A manifest is read more than once, and has to stay as it is."""
    file = tmp_path / "m.csv"
    file.write_text(TABLE)
    found = read_file(str(file))
    file.write_text(TABLE * 2)
    with pytest.raises(ManifestError, match="was changed while it was read; plan again"):
        list(found.manifest.entries(Problems()))


# -- columns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["guidance_scale", "Guidance_Scale", "title", "sku", "size", "colour", "model", "price", "step", "keys",
     "meta.steps",
     "meta.guidance", "stretch"],
)  # fmt: skip
def test_columns_that_are_fine(name: str) -> None:
    """The API's own names in any case, and the columns that catalogs have, are read."""
    good(f"image,{name}\ns3://b/a.jpg,7\n")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("guidance", "guidance_scale"), ("guidence_scale", "guidance_scale"), ("guidanceScale", "guidance_scale"),
        ("cfg scale", "guidance_scale"), ("steps", "num_inference_steps"), ("num_steps", "num_inference_steps"),
        ("num_inference_step", "num_inference_steps"), ("promt", "prompt"), ("prompts", "prompt"),
        ("negative prompt", "negative_prompt"), ("strenght", "strength"), ("denoising_strength", "strength"),
        ("sampler", "scheduler"), ("seeds", "seed"), ("imgae", "image"), ("outputs", "output"), ("varient", "variant"),
    ],
)  # fmt: skip
def test_columns_that_nearly_name_a_parameter(name: str, meant: str) -> None:
    """A value that would silently be kept as metadata is refused, with the right name and the way round."""
    told = refusal(f"image,{name}\ns3://b/a.jpg,7\n" if meant != "image" else f"id,{name}\nx,s3://b/a.jpg\n")
    assert f"-:1: {name}: is nearly {meant}: rename it, or keep it as metadata under meta.{name}" in told


def test_a_near_miss_beside_the_right_column_is_metadata() -> None:
    """Where the right column is there, one that is nearly so called is the catalog's own."""
    (entry,) = good("image,images,strength,strenght\ns3://b/a.jpg,3,0.5,high\n").entries
    assert (entry.params, entry.meta) == ({"strength": 0.5}, {"images": "3", "strenght": "high"})


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("id,title", "-:1: image: there is no such column among id, title; name the one that has the images"),
        ("id,photo_file", "if photo_file has the images, give --column 'image=photo_file'"),
        ("image,title,title", "-:1: title: is there twice"),
        ("image,Image", "-:1: Image: is the same column as image"),
        ("image,title,meta.title", "-:1: meta.title: is the same column as title"),
        ("image," + ",".join(f"c{n}" for n in range(1001)), "there are 1,002 columns; at most 1,000 are read"),
    ],
)
def test_headers_that_cannot_be_used(header: str, reason: str) -> None:
    """A header is refused as a whole, before any row."""
    assert reason in refusal(f"{header}\nx,y,z\n")


def test_all_that_is_wrong_with_a_header_is_told_at_once() -> None:
    """Near misses, twins and missing columns come together."""
    told = refusal("sku,strenght,promt,sku\n1,2,3,4\n", {"id": "SKUs"}).splitlines()
    assert len(told) == 5


@pytest.mark.parametrize(
    ("columns", "id_", "params", "meta"),
    [
        ({"image": "Image Src"}, "a", {}, {"SKU": "007", "Body": "oak", "ID": "9"}),
        ({"image": "image src", "id": "sku"}, "007", {}, {"Body": "oak", "ID": "9"}),
        ({"image": "Image Src", "id": "SKU", "prompt": "Body"}, "007", {"prompt": "oak"}, {"ID": "9"}),
        ({"image": "Image Src", "meta.id": "ID"}, "a", {}, {"SKU": "007", "Body": "oak", "id": "9"}),
        ({"image": "Image Src", "id": "SKU", "meta.sku": "SKU"}, "007", {}, {"sku": "007", "Body": "oak", "ID": "9"}),
    ],
)
def test_columns_are_renamed(columns: dict[str, str], id_: str, params: object, meta: object) -> None:
    """`--column` gives our names to the file's columns, whatever their case; one may have several names."""
    (entry,) = good("SKU,Image Src,Body,ID\n007,s3://b/a.jpg,oak,9\n", columns).entries
    if "id" in columns or "meta.id" in columns:
        assert (entry.id, entry.params, entry.meta) == (id_, params, meta)
    else:
        assert entry.id == "9"


def test_a_renamed_column_that_is_not_there() -> None:
    """A `--column` without its column is told, with the one that may be meant."""
    assert "--column id=SKUU: there is no such column; did you mean SKU?" in refusal("SKU,image\n", {"id": "SKUU"})


@pytest.mark.parametrize("name", ["strength", "prompt", "image", "outcome", "id"])
def test_any_column_can_be_kept(name: str) -> None:
    """`meta.<name>` keeps a column that would mean something."""
    (entry,) = good(f"image,meta.{name}\ns3://b/a.jpg,x\n").entries
    assert (entry.params, entry.meta, entry.id) == ({}, {name: "x"}, "a")


# -- ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "ids"),
    [
        (["s3://b/in/shoe.jpg"], ["in/shoe"]),
        (["s3://b/in/shoe.jpg", "s3://b/in/shoe.png"], ["in/shoe.jpg", "in/shoe.png"]),
        (["s3://b/x/shoe.jpg", "s3://b/y/shoe.png"], ["x/shoe", "y/shoe"]),
        (["s3://b/shoe.jpg", "s3://b/shoe"], ["shoe.jpg", "shoe"]),
        (["s3://b/shoe.jpg", "s3://b/shoe.png", "s3://b/shoe.jpg.png"], ["shoe.jpg", "shoe.png", "shoe.jpg.png"]),
        (["s3://b/v1.5/shoe.front.jpg"], ["v1.5/shoe.front"]),
        (["s3://b/.jpg"], [".jpg"]),
        (["s3://b/e\u0301te\u0301.jpg"], ["\u00e9t\u00e9"]),
    ],
)
def test_ids_by_default(images: list[str], ids: list[str]) -> None:
    """An id is the image's whole key without its suffix, which stays where two would be the same."""
    assert good("\n".join(["image", *images])).ids == ids


def test_local_images_are_found_beside_the_manifest(tmp_path: Path) -> None:
    """A relative path begins at the manifest's folder, and makes the id."""
    (tmp_path / "list" / "in").mkdir(parents=True)
    for name in ("list/in/mug.jpg", "bowl.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list" / "m.csv").write_text("image\n./in/mug.jpg\n../bowl.jpg\n")
    found = read_file("list/m.csv")
    assert found.images == [str(tmp_path / "list/in/mug.jpg"), str(tmp_path / "bowl.jpg")]
    assert found.ids == ["in/mug", "bowl"]


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    """A row that names a folder says how to restyle all in it."""
    (told,) = read("image\n.\n").told
    assert "is a folder; to restyle all in it, give the folder itself as the manifest" in told


@pytest.mark.parametrize(
    ("mark", "taken"),
    [("", True), ("redo", True), (" REDO ", True), ("keep", False), ("Reject", False)],
)
def test_marks(mark: str, taken: bool) -> None:
    """What a reviewer kept or rejected is not planned, even where its row is bad; `redo` is."""
    strength = "0.5" if taken else "half"
    found = good(f"id,image,strength,mark\nx,s3://b/x.jpg,{strength},{mark}\ny,s3://b/y.jpg,,\n")
    assert found.ids == (["x", "y"] if taken else ["y"])


def test_an_unknown_mark() -> None:
    """A mark that is none is a bad line."""
    assert read("image,mark\ns3://b/a.jpg,again\n").told == ["2: mark: 'again' is none of keep, reject, redo"]


def test_a_pipe_that_does_not_end(tmp_path: Path) -> None:
    """It is read up to a bound."""
    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        file.truncate(3 << 20)
    with endless.open("rb") as pipe, pytest.raises(ManifestError, match="is larger than 2 MiB and goes on"):
        standard_input(pipe, most=2 << 20)
