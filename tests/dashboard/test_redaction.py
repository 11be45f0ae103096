"""Secrets stay hidden on every page, and readers see no values at all."""

from __future__ import annotations

from typing import Any

import pytest

from millrace import current_job
from millrace.dashboard.redaction import HIDDEN, Redaction
from tests.dashboard.conftest import House
from tests.dashboard.markup import Markup


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "db_password", "userPassword", "api_key", "API-Key", "apikey", "access_token", "secret",
     "client-secret", "Authorization", "cookie", "private_key", "credentials", "card_number"],
)  # fmt: skip
def test_what_stands_under_such_a_name_is_hidden_at_any_depth(name: str) -> None:
    value = {"one": [{"two": {name: {"deep": "s3cret"}}}], "kept": "yes"}

    assert Redaction().shown(value) == {"one": [{"two": {name: HIDDEN}}], "kept": "yes"}


@pytest.mark.parametrize("name", ["to", "author", "keyboard", "passenger", "path"])
def test_other_names_are_shown(name: str) -> None:
    assert Redaction().shown({name: "x"}) == {name: "x"}


@pytest.fixture
def secretive(house: House) -> Any:
    @house.app.task(name="shop.pay")
    def pay(card_number: str, amount: int, iban: str) -> dict[str, str]:
        current_job().log.info("paying", token="t-777", amount=amount)
        return {"receipt": f"r-{amount}", "secret": "s-888"}

    job = pay.enqueue("4111", 4242, "DE-999")
    house.app.drain()
    return job.id


def test_operators_see_values_but_no_secrets(house: House, secretive: Any) -> None:
    text = Markup(house.visitor(site=house.app.dashboard(redact=["iban"])).get(f"/jobs/{secretive}").text).text

    assert [each for each in ("4111", "t-777", "s-888", "DE-999") if each in text] == []
    assert [each for each in ("4242", "r-4242") if each not in text] == []
    assert text.count(HIDDEN) == 4 + 2 + 1  # once more in the form to edit, and in what is said of it


def test_readers_see_of_what_kind_the_values_are(house: House, secretive: Any) -> None:
    site = house.app.dashboard(authorize=lambda _: "read")

    text = Markup(house.visitor(site=site).get(f"/jobs/{secretive}").text).text

    assert [each for each in ("4111", "t-777", "s-888", "DE-999", "4242", "r-4242") if each in text] == []
    assert '"amount": "number"' in text
    assert '"receipt": "text"' in text
