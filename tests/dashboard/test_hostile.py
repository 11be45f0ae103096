"""No text that a job brings along becomes markup: with any text a page has the shape that it has with a plain one."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from millrace import Millrace, current_job
from millrace.records import WorkerRow
from tests.dashboard.conftest import OURS, House
from tests.dashboard.markup import Markup

PLAIN = "plain"
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "` onclick=`alert(1)",
    "x onmouseover=alert(1)",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</pre></bdi><h1>owned</h1>",
    "</td></tr></table><form action=//evil.example>",
    "<!--",
    "--><b>",
    "<![CDATA[<b>]]>",
    "<?php echo 1 ?>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "<iframe srcdoc='<b>'></iframe>",
    "&lt;b&gt;&amp;&#60;script&#62;",
    "{{ 7 * 7 }}{% raw %}{{ visit.app }}",
    "${7*7}#{7*7}",
    "\u202egnp.exe\u202c\u2066\u2069",
    "\ufeff\u200b\u2028\u2029<b>",
    "+ADw-script+AD4-alert(1)",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "\uff1cscript\uff1e <a href='/' download>",
]
ADDRESSES = (
    "/jobs?queue=%s&task=%s&tag=%s&unique_key=%s",
    "/jobs?cursor=%s",
    "/jobs?state=%s",
    "/?done=%s",
    "/enqueue?task=%s",
)


def furnished(app: Millrace, text: str) -> list[str]:
    """Put a text wherever a user can, and return the pages that show it."""

    @app.task(name=text, queue=text, tags=(text,), max_attempts=1)
    def fail(value: object = text) -> None:
        current_job().log.error(text, key=text)
        current_job().progress(0.5, text)
        current_job().set_result({text: [text]})
        raise ValueError(text)

    dead = fail.using(unique_key=text).enqueue({text: text, "list": [text]})
    app.drain()
    app.pause(text)
    app.schedules.put(text, every=60, job=fail.job(text))
    app.store.register(WorkerRow(1, text, 0, 0, b'{"queues":["%s"]}' % b"mail"))
    return [
        "/", "/jobs", f"/jobs?task={quote(text, safe='')}", f"/jobs/{dead.id}", "/failures", "/queues", "/workers",
        "/schedules", "/enqueue", f"/enqueue?task={quote(text, safe='')}",
    ]  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE)) >= 30


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_as_text_on_every_page(house: House, text: str) -> None:
    with Millrace("memory://") as app, Millrace("memory://") as other:
        visitor, plain = house.visitor(site=app.dashboard()), house.visitor(site=other.dashboard())
        for path, counterpart in zip(furnished(app, text), furnished(other, PLAIN), strict=True):
            page, expected = Markup(visitor.get(path).text), Markup(plain.get(counterpart).text)

            assert page.shape == expected.shape, path
            assert page.unclosed == []
            assert text in page.text, path
            assert [each["href"] for each in page.of("a") if not each["href"].startswith(("/", "#"))] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_address_is_shown_as_text(house: House, text: str) -> None:
    visitor = house.visitor()
    plain, word = quote(PLAIN), quote(text, safe="")

    for path in (
        "/jobs?queue=%s&task=%s&tag=%s&unique_key=%s",
        "/jobs?cursor=%s",
        "/jobs?state=%s",
        "/?done=%s",
        "/enqueue?task=%s",
    ):
        fields = path.count("%s")
        page = Markup(visitor.get(path % ((word,) * fields)).text)
        assert page.shape == Markup(visitor.get(path % ((plain,) * fields)).text).shape, path
    page = Markup(visitor.post("/schedules/pause", data={"name": text}, headers=OURS).text)
    assert page.shape == Markup(visitor.post("/schedules/pause", data={"name": PLAIN}, headers=OURS).text).shape
    assert "no schedule" in page.text
