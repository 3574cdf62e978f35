"""A manifest becomes entries: tables, workbooks, JSON, feeds, exports of shops, folders, S3 prefixes and inventories.

The first step of the flow. Everything is streamed, as often as it is needed, and every bad line is reported.
Formats: docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from producers.manifest import forms, listing, source
from producers.manifest.block import Block
from producers.manifest.entry import Entry, LeftOut, Problems, Stand
from producers.manifest.ids import Namespace
from producers.manifest.listing import Listing
from producers.manifest.names import names_in_folder, names_in_prefix
from producers.manifest.place import Place
from producers.manifest.reading import ReadOptions
from producers.manifest.rows import Reading
from producers.manifest.source import Source, wrong
from restyle.s3.store import Store
from restyle.web.address import is_web, read_address, shown

__all__ = ["Block", "Entry", "LeftOut", "Manifest", "Problems", "ReadOptions", "open_manifest"]


@dataclass(frozen=True)
class Manifest:
    """A manifest that can be streamed again and again."""

    uri: str
    """As the user named it."""
    entries: Callable[[Problems], Iterator[Entry]]
    """Streams the good entries; all that is wrong goes to the problems."""
    sha256: Callable[[], str]
    """Of its bytes, or of the listing."""
    columns: frozenset[str] | None = None
    """The columns that every row has; None where each entry has its own."""
    kept: frozenset[str] = frozenset()
    """Those of them that are only kept."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Its own `defaults`, unchecked."""
    variants: list[Any] | None = None
    """Its own `variants`, unchecked."""
    is_report: bool = False
    is_listing: bool = False
    """Whether it is what lies in S3 rather than what somebody has chosen: a prefix, or an inventory."""
    names: tuple[str, ...] = ()
    """What the cells of `originals` are called."""
    originals: Callable[[Container[Stand]], Iterator[tuple[Stand, list[str]]]] = lambda _stands: iter(())
    """Streams the cells of some rows as they stand in the file."""
    whole: Callable[[str], str] = lambda entry_id: entry_id
    """An id as its entries have it, with what `--namespace` puts before it."""
    form: str = ""
    """What it was taken for, with an article: a Shopify export, a folder."""
    feed: str = ""
    """The known export that it was taken for."""
    is_table: bool = False
    """Whether it has rows of cells below a header."""
    parts: Callable[[Problems], Iterator[Block | Iterable[Entry]]] | None = None
    """Streams the same entries some at a time, where plain ones can be read together."""
    image: str = ""
    """What the column with the images is called in the file, where that is not `image`."""


def open_manifest(
    uri: str,
    *,
    store: Store | None,
    stdin: BinaryIO | None = None,
    options: ReadOptions | None = None,
) -> Manifest:
    """Opens a manifest by its content; entries are read when they are streamed.

    Args:
        uri: a local path, an s3:// URI (of a file, or of a prefix), or `-`.
        store: S3; None where only local files can be read.
        stdin: what `-` reads.
        options: how to read it, where its content does not say it all.

    Raises:
        ManifestError: it cannot be read as a whole, or its header is wrong.
        StoreUnavailable, StoreAccessDenied: S3 does not give it.
    """
    options = options or ReadOptions()
    manifest = _opened(uri, store, stdin, options)
    if not options.namespace or manifest.is_report:
        return manifest
    try:
        namespace = Namespace(options.namespace)
    except ValueError as reason:
        raise wrong(uri, f"--namespace {options.namespace}: {reason}") from None
    entries = manifest.entries
    return replace(
        manifest, entries=lambda problems: namespace.entries(entries(problems), problems), whole=namespace.whole,
        parts=None,
    )  # fmt: skip


def _opened(uri: str, store: Store | None, stdin: BinaryIO | None, options: ReadOptions) -> Manifest:
    """A manifest whose ids are as it has them."""
    if uri == "-":
        return _of_content(source.standard_input(stdin), str(Path.cwd()), uri, options, store)
    if uri.startswith("s3://"):
        return _in_s3(uri, store, options)
    path = Path(uri)
    if _is_folder(path):
        return _of_listing(uri, listing.folder(path, uri), "a folder", options, is_listing=False)
    return _of_content(source.local(uri), str(path.absolute().parent), uri, options, store)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # reported when it is opened


def _in_s3(uri: str, store: Store | None, options: ReadOptions) -> Manifest:
    if store is None:
        raise wrong(uri, "lies in S3, which is not open here")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise wrong(uri, "names no bucket: write it as s3://bucket/key")
    if key and not key.endswith("/") and (content := source.remote(uri, store)) is not None:
        return _of_content(content, uri.rpartition("/")[0] + "/", uri, options, store)
    prefix = f"s3://{bucket}/{key.rstrip('/')}/" if key else f"s3://{bucket}/"
    if next(store.list(prefix), None) is None:
        raise wrong(uri, "there is no such object, and nothing below it")
    objects = listing.prefix(prefix, store)
    return replace(_of_listing(uri, objects, "an S3 prefix", options), parts=objects.parts)


def _of_listing(
    uri: str,
    listing: Listing,
    form: str,
    options: ReadOptions,
    *,
    is_listing: bool = True,
    sha256: Callable[[], str] | None = None,
) -> Manifest:
    if options.columns:
        raise wrong(uri, "--column renames the columns of a table; this is a listing of images")
    fitting = {"--namespace", *(["--feed"] if options.feed == "none" else [])}
    if given := [name for name in options.given() if name not in fitting]:
        raise wrong(uri, f"{given[0]} is for a file that names images; this is {form}, a listing of images")
    return Manifest(
        uri, listing.entries, sha256 or listing.sha256, columns=frozenset(), is_listing=is_listing, form=form
    )  # fmt: skip


def _of_content(content: Source, beside: str, uri: str, options: ReadOptions, store: Store | None) -> Manifest:
    """A manifest by what stands in it, whatever its name."""
    form = forms.of(content, options, store)
    if isinstance(form, Listing):
        return _of_listing(uri, form, form.form, options, sha256=content.sha256)
    try:
        reading = Reading(
            form.rows, _place(options, beside, uri, store),
            feed=form.feed, id_template=options.id, fits=form.fits, table=form.table,
        )  # fmt: skip
    except ValueError as reason:
        raise wrong(uri, f"--id {options.id}: {reason}") from None
    return Manifest(
        uri, reading.entries, content.sha256, columns=form.columns, kept=form.kept, defaults=form.defaults,
        variants=form.variants, is_report=form.is_report, names=form.names, originals=form.originals, form=form.form,
        parts=reading.parts, image=form.image, feed=form.feed.name if form.feed else "",
        is_table=form.columns is not None,
    )  # fmt: skip


def _place(options: ReadOptions, beside: str, uri: str, store: Store | None) -> Place:
    """Where relative images lie: beside the manifest, or where `--images` says."""
    base, is_given = options.images or beside, bool(options.images)
    # Of a run that is over, no picture is fetched.
    http = options.http or not options.has_pictures
    if is_web(base):
        try:
            address = read_address(base, http=http)
            return Place(f"{address.url.rstrip('/')}/", is_checked=options.has_pictures, http=http)
        except ValueError as reason:
            raise wrong(uri, f"--images {shown(base)}: {reason}") from None
    if base.startswith("s3://"):
        prefix = f"{base.rstrip('/')}/"
        if not base.removeprefix("s3://").strip("/"):
            raise wrong(uri, f"--images {base} names no bucket: write it as s3://bucket/prefix/")
        if is_given and store is None:
            raise wrong(uri, f"--images {base} lies in S3, which is not open here")
        names = names_in_prefix(prefix, store) if store and is_given else None
        return Place(prefix, names, is_checked=options.has_pictures, is_listed=is_given, http=http)
    folder = Path(base).absolute()
    if is_given and not _is_folder(folder):
        raise wrong(uri, f"--images {base[:200]}: there is no such folder")
    return Place(str(folder), names_in_folder(str(folder)), is_checked=options.has_pictures, http=http)
