"""Takes the pictures of pages that the documentation shows, by real commands, a sandbox of the API and a real browser.

`python docs/make_images.py` writes docs/images/, which takes some minutes; by hand, since pixels differ from machine
to machine. `--all build/pages` takes every page instead, at three widths, light and dark, for people to look at.
"""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page
from shown_world import World, going, running_world

from tests.support.browser import running_browser

HERE = Path(__file__).parent
#: Width and height of the window, and the colours, in which every page is looked at.
WINDOWS = [((390, 844), "light"), ((390, 844), "dark"), ((1440, 900), "light"), ((1440, 900), "dark"),
           ((2560, 1440), "light"), ((2560, 1440), "dark")]  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """Takes pages: all of them into a folder, or those that the documentation shows."""

    browser: Browser
    folder: Path
    state: Path

    @contextmanager
    def page(self, size: tuple[int, int], scheme: str, *, signed_in: bool = True) -> Iterator[Page]:
        """A page in a window of its own."""
        context: BrowserContext = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if scheme == "dark" else "light",
            storage_state=self.state if signed_in and self.state.exists() else None,
        )  # fmt: skip
        try:
            yield context.new_page()
        finally:
            context.close()

    def everywhere(self, name: str, url: str, act: Callable[[Page], None] | None = None, *, signed_in: bool = True
                   ) -> None:  # fmt: skip
        """A page in every window."""
        for size, scheme in WINDOWS:
            with self.page(size, scheme, signed_in=signed_in) as page:
                page.goto(url)
                if act:
                    act(page)
                settle(page)
                page.screenshot(path=self.folder / f"{name}-{size[0]}-{scheme}.png", full_page=True)
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > size[0]:
                    print(f"{name}: {wide} px wide in a window of {size[0]}")  # noqa: T201 - a script says so

    def one(self, name: str, url: str, size: tuple[int, int], act: Callable[[Page], None] | None = None,
            scheme: str = "light") -> None:  # fmt: skip
        """A picture for the documentation, in a form that its name chooses."""
        with self.page(size, scheme) as page:
            page.goto(url)
            if act:
                act(page)
            settle(page)
            data = page.screenshot()
        with Image.open(io.BytesIO(data)) as taken:
            picture = taken.convert("RGB")
        if name.endswith(".png"):
            picture.quantize(128, dither=Image.Dither.NONE).save(self.folder / name, optimize=True)
        else:
            picture.save(self.folder / name, quality=80, subsampling=0, optimize=True, progressive=True)


def settle(page: Page) -> None:
    """Waits until what is in sight is there; a picture that did not come, as on a busy machine, is asked for again."""
    if page.locator("body[data-live]").count():
        page.wait_for_selector('#state[data-kind="live"]')
    page.evaluate("""async () => {
        const come = (image) => image.decode().catch(() => null);
        for (let again = 0; again < 4; again += 1) {
            for (const image of document.images) {
                image.loading = "eager";
                if (image.complete && !image.naturalWidth && image.src) image.src = image.src;
            }
            const all = Promise.all([...document.images].map(come));
            await Promise.race([all, new Promise((done) => setTimeout(done, 20000))]);
        }
    }""")


# -- what is pressed on a page before it is taken -----------------------------------------------------------------


def mark_some(page: Page, keys: str = "nkkrkxk") -> None:
    """Marks in the review room, or in a report."""
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")


def mark_tiles(page: Page) -> None:
    """Marks and a choice in the grid."""
    page.keyboard.press("ArrowRight")
    for key in ("k", "x", "k", "ArrowRight", "ArrowRight", "k", "c", "ArrowDown", "k"):
        page.keyboard.press(key)
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")


def zoomed(page: Page) -> None:
    """One tile, half of it under its original."""
    page.locator("tbody tr").nth(1).locator("td .zoom").nth(4).click()
    page.locator("#zoomed .cut").fill("50")


def compared(page: Page) -> None:
    """Two columns side by side."""
    for place in (1, 4):
        page.locator(f"#pick-{place}").press("Space")
    page.get_by_role("button", name="Only chosen").click()


def planned(page: Page, *, manifest: str | Path, kind: str = "Plan the run") -> None:
    """The form for a run, filled in and sent."""
    if isinstance(manifest, Path):
        page.set_input_files("#file", manifest)
    else:
        page.fill("#manifest", manifest)
    page.fill("#prompts", "oil painting of a {title}, thick strokes")
    page.fill("#budget", "5")
    page.get_by_role("button", name=kind).click()
    page.wait_for_load_state()


def shared(page: Page) -> None:
    """The link to one run, made."""
    page.locator("#do").click()
    page.wait_for_selector("#link")


def wrongly(page: Page) -> None:
    """A wrong token."""
    page.fill("#name", "Anna")
    page.fill("#token", "a wrong token of letters")
    page.locator("button.main").click()


# -- the two lists of pages ---------------------------------------------------------------------------------------


def every_page(camera: Camera, world: World) -> None:
    """All pages, of all states."""
    for name in ("", "fleet", "schedules", "costs", "new"):
        camera.everywhere(f"empty-{name or 'runs'}", f"{world.empty_url}/{name}", signed_in=False)
    camera.everywhere("sign-in", f"{world.url}/", signed_in=False)
    camera.everywhere("sign-in-wrong", f"{world.url}/", wrongly, signed_in=False)
    signed_in(camera, world)
    run = {name: f"{world.url}/runs/{run_id}" for name, run_id in world.runs.items()}
    with camera.page((1440, 900), "light") as page:
        page.goto(f"{run['spring']}/jobs")
        mark_some(page)
        page.goto(f"{run['which-look']}/grid")
        mark_tiles(page)
    for name, path in (("review", "jobs"), ("suspects", "jobs?outcome=suspect"), ("failed", "jobs?outcome=failed"),
                       ("nothing", "jobs?q=nothing"), ("retry", "retry"), ("cancelled", "")):  # fmt: skip
        camera.everywhere(name, f"{run['spring']}/{path}".rstrip("/"))
    camera.everywhere("report", f"{run['spring']}/report")
    camera.everywhere("withdraw", f"{run['spring']}/jobs", lambda page: page.get_by_role(
        "button", name="Publish as marked").click())  # fmt: skip
    camera.everywhere("all-failed", run["price-labels"])
    camera.everywhere("waits", run["pop-sample"])
    camera.everywhere("waits-review", f"{run['pop-sample']}/jobs")
    camera.everywhere("approve", f"{run['pop-sample']}/approve")
    camera.everywhere("trial", run["which-look"])
    for name, act in (("grid", None), ("zoom", zoomed), ("compare", compared)):
        camera.everywhere(name, f"{run['which-look']}/grid", act)
    camera.everywhere("new", f"{world.url}/new")
    camera.everywhere("new-wrong", f"{world.url}/new",
                      lambda page: planned(page, manifest=world.command.folder / "wrong.csv"))  # fmt: skip
    camera.everywhere("confirm", f"{world.url}/new", lambda page: planned(page, manifest="s3://shop/catalog.csv"))
    for name in ("costs", "schedules", "costs?by=run", "missing", "runs/20260101T000000Z-000000"):
        camera.everywhere(re.sub(r"\W", "-", name), f"{world.url}/{name}")
    camera.everywhere("share", f"{run['spring']}/share")
    camera.everywhere("share-link", f"{run['spring']}/share", shared)
    for name in ("spring", "which-look"):
        world.command("report", world.runs[name], "--to", name)
        for file in (world.command.folder / name).glob("*.html"):
            camera.everywhere(f"offline-{file.stem}", file.as_uri())


def while_it_goes(camera: Camera, world: World) -> None:
    """Pages of a run that is at it, and of one that has no credits any more."""
    going(world, 40)
    run = f"{world.url}/runs/{world.runs['autumn']}"
    for name, url in (("runs", world.url), ("run-going", run), ("fleet", f"{world.url}/fleet"),
                      ("review-going", f"{run}/jobs"), ("cancel", f"{run}/cancel")):  # fmt: skip
        camera.everywhere(name, url)
    world.sandbox.control(balance=0, latency=0.1, jitter=0)
    world.reach("autumn", "suspended")
    for name, url in (("out-of-credits", run), ("out-of-credits-runs", world.url),
                      ("out-of-credits-fleet", f"{world.url}/fleet")):  # fmt: skip
        camera.everywhere(name, url)


def signed_in(camera: Camera, world: World) -> None:
    """Signs in once, for all pages that follow."""
    with camera.page((1440, 900), "light", signed_in=False) as page:
        page.goto(world.url)
        page.fill("#name", "Anna")
        page.fill("#token", world.command.env["RESTYLE_DASHBOARD_TOKEN"])
        page.locator("button.main").click()
        page.wait_for_selector(".who")
        page.context.storage_state(path=camera.state)


def of_the_documentation(camera: Camera, world: World) -> None:
    """The pictures of docs/images."""
    signed_in(camera, world)
    run = {name: f"{world.url}/runs/{run_id}" for name, run_id in world.runs.items()}
    camera.one("review-room.jpg", f"{run['spring']}/jobs", (1440, 900), mark_some)
    camera.one("trial-grid.jpg", f"{run['which-look']}/grid", (1440, 900), mark_tiles)
    world.command("report", world.runs["spring"], "--to", "report")
    file = world.command.folder / "report" / "report.html"
    camera.one("report-page.jpg", file.as_uri(), (1440, 900), lambda page: mark_some(page, "nkxkkrk"))
    going(world, 8)
    run["autumn"] = f"{world.url}/runs/{world.runs['autumn']}"
    camera.one("dashboard-run.jpg", run["autumn"], (1280, 900))
    camera.one("dashboard-fleet.png", f"{world.url}/fleet", (1280, 680))
    world.command("suspend", world.runs["autumn"])
    camera.one("dashboard-phone.png", run["autumn"], (390, 844), scheme="dark")


def main() -> None:
    """Has a world, and takes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIR", help="every page, into this folder")
    options = parser.parse_args()
    target = options.all or HERE / "images"
    target.mkdir(parents=True, exist_ok=True)
    with running_world() as world, running_browser() as browser:
        camera = Camera(browser, target, world.command.folder / "signed-in.json")
        if options.all:
            every_page(camera, world)
            while_it_goes(camera, world)
        else:
            of_the_documentation(camera, world)


if __name__ == "__main__":
    main()
