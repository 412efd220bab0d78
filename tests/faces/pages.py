"""A page in a browser, used as a person uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDE, PHONE = (1400, 1000), (360, 740)
PATIENCE = 10.0


def open_page(chrome: Chrome, address: str, size: tuple[int, int] = WIDE) -> None:
    """Open a page from scratch in a window with this inner size."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chrome.get("about:blank")
    errors(chrome)
    chrome.get(address)


def errors(chrome: Chrome) -> list[Any]:
    """The new messages on the console of the browser."""
    log: Callable[[str], list[Any]] = chrome.get_log
    return log("browser")


def until(chrome: Chrome, script: str) -> None:
    """Wait until a script returns something true."""
    from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415 - it may not be installed

    WebDriverWait(chrome, PATIENCE).until(lambda driver: bool(ask(driver, script)), script)


def ask(chrome: Chrome, script: str, *arguments: Any) -> Any:
    """The result of a script in the page."""
    run: Callable[..., Any] = chrome.execute_script
    return run(script, *arguments)


def text(chrome: Chrome, selector: str) -> str:
    """The text of an element in the document."""
    content: str = ask(chrome, "return document.querySelector(arguments[0]).textContent", selector)
    return content


def click(chrome: Chrome, selector: str) -> None:
    """Click on an element as a mouse does."""
    element = chrome.find_element("css selector", selector)
    ask(chrome, "arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def select(chrome: Chrome, selector: str, value: str) -> None:
    """Choose from a list."""
    chrome.find_element("css selector", f"{selector} option[value='{value}']").click()


def press(chrome: Chrome, name: str) -> None:
    """Press a key on the focused element."""
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415 - it may not be installed

    chrome.switch_to.active_element.send_keys(getattr(Keys, name))
