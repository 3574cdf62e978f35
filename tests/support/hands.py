"""Hands that use a page: one has a keyboard alone, the other a mouse, so that one flow is walked by each.

The keyboard comes to everything by Tab, as whoever has no mouse does: what Tab does not reach fails the test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from playwright.sync_api import Locator, Page, expect

#: Presses of Tab from one control to any other of a page.
_MOST_TABS = 60
#: Which key leads from what has the focus to a control; empty: it has it.
_WAY = """element => element === document.activeElement ? ""
  : element.compareDocumentPosition(document.activeElement) & Node.DOCUMENT_POSITION_FOLLOWING ? "Shift+Tab" : "Tab" """


class Hand(ABC):
    """What a flow needs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # A listener that stays has the browser hand over its choice of a file from the start. One that comes with the
        # press loses its race against it: 42 of 100 presses of Enter opened the browser's own dialog, for nobody.
        page.on("filechooser", lambda _: None)

    @abstractmethod
    def press(self, target: Locator) -> None:
        """Presses a link or a button."""

    @abstractmethod
    def write(self, target: Locator, text: str) -> None:
        """Writes into a field, in the place of what is there."""

    @abstractmethod
    def tick(self, target: Locator) -> None:
        """Ticks a box."""

    @abstractmethod
    def choose(self, target: Locator, value: str) -> None:
        """Chooses an option of a list."""

    def attach(self, target: Locator, name: str, data: bytes) -> None:
        """Chooses a file, after a press."""
        with self.page.expect_file_chooser() as choosing:
            self.press(target)
        choosing.value.set_files({"name": name, "mimeType": "text/csv", "buffer": data})


class Keys(Hand):
    """Tab, Enter, the space bar, arrows and letters."""

    def reach(self, target: Locator) -> None:
        """Goes to a control by Tab, or back to it."""
        expect(target).to_be_visible()
        for _ in range(_MOST_TABS):
            way = target.evaluate(_WAY)
            if not way:
                return
            self.page.keyboard.press(way)
        raise AssertionError(f"Tab does not reach {target}")

    def press(self, target: Locator) -> None:
        """By Enter."""
        self.reach(target)
        self.page.keyboard.press("Enter")

    def write(self, target: Locator, text: str) -> None:
        """By typing."""
        self.reach(target)
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.press("Delete")
        for line, part in enumerate(text.split("\n")):
            if line:
                self.page.keyboard.press("Enter")
            self.page.keyboard.type(part)
        expect(target).to_have_value(text)

    def tick(self, target: Locator) -> None:
        """By the space bar."""
        self.reach(target)
        self.page.keyboard.press("Space")
        expect(target).to_be_checked()

    def choose(self, target: Locator, value: str) -> None:
        """By the arrows."""
        self.reach(target)
        values = target.evaluate("select => [...select.options].map((option) => option.value)")
        steps = values.index(value) - values.index(target.input_value())
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowDown" if steps > 0 else "ArrowUp")
        expect(target).to_have_value(value)


class Mouse(Hand):
    """Clicks, and types only what is text."""

    def press(self, target: Locator) -> None:
        """By a click."""
        target.click()

    def write(self, target: Locator, text: str) -> None:
        """By a click and typing."""
        target.click()
        target.fill(text)

    def tick(self, target: Locator) -> None:
        """By a click."""
        target.check()

    def choose(self, target: Locator, value: str) -> None:
        """As whoever clicks an option does."""
        target.select_option(value)
