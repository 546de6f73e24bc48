"""The page of a thread."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .serving import Site


def tab_of(site: Site, name: str) -> Any:
    """Open one of the views beneath the waterfall."""
    site.tab.get_by_role("tab", name=name).click()
    return site.tab.get_by_role("tabpanel", name=name)


def lanes(site: Site) -> Any:
    """The waterfall's lanes."""
    return site.tab.get_by_role("group", name="Lanes")


def test_the_head(site: Site) -> None:
    """State, run, viewers, and how old the newest event is; and stopping it takes two clicks."""
    run_id = site.start("runs on")
    site.look()
    site.see("running")
    site.see(f"{run_id[:7]}…")
    site.see("1 viewer")
    site.see("ago")
    site.button("Stop").click()
    site.button("Really stop").click()
    site.see("failed")
    site.see("it was aborted.")
    assert not site.button("Stop").is_visible()


def test_tokens_are_counted(site: Site) -> None:
    """In, out, and per second, as the model tells them."""
    site.start("chat", {"messages": [["user", "hi"]]})
    site.look()
    site.see("completed")
    assert site.client.http.get(f"/live/{site.thread}").json()["output_tokens"] == 0
    site.start("team", {"topics": []})
    site.see("2 on this thread")


def test_parallel_graphs_have_lanes_of_their_own(site: Site) -> None:
    """Told apart by their number and what they were given; bars grow while they are open; lanes fold."""
    site.start("team", {"topics": ["tides", "dunes"]})
    site.look()
    for name in ("researcher #1 tides", "researcher #2 dunes"):
        site.button(f"Graph {name}").wait_for()
    bars = lanes(site).get_by_role("button", name="message think running")
    bars.nth(1).wait_for()
    before = bars.first.get_attribute("aria-label")
    site.tab.wait_for_function(
        "before => document.querySelector('.bar.message').getAttribute('aria-label') !== before", arg=before
    )
    site.release(2)
    lanes(site).get_by_role("button", name="message think finished").nth(1).wait_for()
    assert lanes(site).get_by_role("button", name="tool search completed").count() == 2
    fold = site.button("Graph team")
    assert fold.get_attribute("aria-expanded") == "true"
    fold.click()
    site.button("Graph researcher #1 tides").wait_for(state="detached")


def test_lanes_of_earlier_turns(site: Site) -> None:
    """Are there if one looks at their time."""
    for topic in ("tides", "dunes", "caves"):
        site.start("team", {"topics": [topic]}, gates=1)
        site.client.ended()
    site.look()
    site.see("completed")
    graphs = lanes(site).get_by_text("researcher #")
    lanes(site).get_by_text("researcher caves").or_(lanes(site).get_by_text("researcher", exact=True)).first.wait_for()
    assert graphs.count() == 0
    site.tab.get_by_label("Whole thread").check()
    lanes(site).get_by_text("researcher #3 caves").wait_for()
    assert graphs.count() == 3


def test_a_bar_can_be_reached_by_tab_wherever_the_lanes_are(site: Site) -> None:
    """Also when the newest one is out of sight."""
    site.start("team", {"topics": [f"topic {n}" for n in range(8)]}, gates=8)
    site.look()
    site.see("completed")
    assert lanes(site).locator("button.bar[tabindex='0']").count() == 1


def test_the_details_of_a_message(site: Site) -> None:
    """Its text as it streams, its reasoning folded, when it began and its first piece came."""
    site.start("team", {"topics": ["tides"]})
    site.look()
    lanes(site).get_by_role("button", name="message think").click()
    details = site.tab.get_by_role("region", name="Details")
    details.get_by_text("Looking at tides.").wait_for()
    details.get_by_text("until now").wait_for()
    details.get_by_text("first piece after").wait_for()
    assert not details.get_by_text("what about tides?").is_visible()
    details.get_by_text("Reasoning, 18 characters").click()
    details.get_by_text("what about tides?").wait_for()
    site.release()
    details.get_by_text("Looking at tides. See https://example.org/ for more.").wait_for()
    link = details.get_by_role("link", name="https://example.org/")
    assert link.get_attribute("rel") == "noreferrer noopener"
    details.get_by_role("button", name="Close").click()
    details.wait_for(state="detached")


def test_the_details_of_a_tool(site: Site) -> None:
    """Arguments, pieces of output, and output."""
    site.start("team", {"topics": ["tides"]}, gates=1)
    site.look()
    lanes(site).get_by_role("button", name="tool search").click()
    details = site.tab.get_by_role("region", name="Details")
    details.get_by_role("region", name="Input").get_by_text('"q": "tides"').wait_for()
    details.get_by_role("region", name="Pieces of output").get_by_text("half of tides").wait_for()
    details.get_by_role("region", name="Output", exact=True).get_by_text("found tides").wait_for()


def test_an_error_is_told(site: Site) -> None:
    """At the head, as the server says it."""
    site.start("fails")
    site.look()
    site.tab.get_by_role("alert").get_by_text("it broke").wait_for()


def test_the_conversation(site: Site) -> None:
    """Also what nested agents say, and where."""
    site.start("team", {"topics": ["tides"]}, gates=1)
    site.look()
    chat = site.tab.get_by_role("list", name="Conversation")
    chat.get_by_text("All done.").wait_for()
    chat.get_by_text("in researcher:").wait_for()


def test_the_state_and_what_changed(site: Site) -> None:
    """The last snapshot, and the difference to the one before."""
    site.start("team", {"topics": ["tides"]}, gates=1)
    site.look()
    site.see("completed")
    panel = tab_of(site, "State")
    changes = panel.get_by_role("list", name="Changes")
    assert changes.get_by_role("listitem").all_inner_texts() == ["added found.0 tides"]
    panel.get_by_role("region", name="State").get_by_text('"found"').wait_for()


def test_the_events(site: Site) -> None:
    """As they came; of a channel, of a namespace; one of them whole, and the run as it was then."""
    site.start("team", {"topics": ["tides"]}, gates=1)
    site.look()
    site.see("completed")
    panel = tab_of(site, "Events")
    panel.get_by_label("Channel").select_option("tools")
    panel.get_by_text("3 events").wait_for()
    panel.get_by_label("Channel").select_option("custom")
    panel.get_by_label("Namespace").fill("checker")
    panel.get_by_text("1 event", exact=True).wait_for()
    panel.get_by_role("button", name="checked").click()
    panel.get_by_role("region", name="Event", exact=True).get_by_text('"checked": "tides"').wait_for()
    panel.get_by_role("button", name="Show the run as it was then").click()
    site.see("This is how it was; the run may have gone on.")
    site.button("Live").click()
    site.see("completed")


def test_the_graph(site: Site) -> None:
    """Nodes that run are lit; how often each has begun."""
    site.start("two questions", {})
    site.look()
    tab_of(site, "Graph")
    drawing = site.tab.get_by_role("img", name="Graph:")
    drawing.wait_for()
    site.tab.get_by_role("img", name="left, visited 1 time").wait_for()


def test_a_drawing_that_fails_for_now(site: Site, context: Any) -> None:
    """Is asked for again."""
    context.watched.expected += ["503"]
    busy = {"message": "the server is busy"}
    site.tab.route("**/graph?xray=true", lambda route: route.fulfill(status=503, json=busy), times=1)
    site.start("two questions", {})
    site.look()
    tab_of(site, "Graph")
    site.tab.get_by_role("img", name="left, visited 1 time").wait_for()


def test_running_nodes_are_lit(site: Site) -> None:
    """A function graph is one node, whose subgraphs are not drawn."""
    site.start("chat", {"messages": [["user", "hi"]]})
    site.look()
    tab_of(site, "Graph")
    site.tab.get_by_role("img", name="agent").wait_for()
    site.tab.evaluate(
        """async () => {
            const { Graph } = await import("/page/tabs.js");
            const { Model } = await import("/page/fold.js");
            const { html, render } = await import("/page/dom.js");
            const model = new Model();
            const task = { id: "1", name: "agent", input: 1 };
            model.apply({ seq: 1, method: "tasks", params: { namespace: [], timestamp: 1, data: task } });
            const drawing = { nodes: [{ id: "agent" }, { id: "other" }], edges: [] };
            const place = document.body.appendChild(document.createElement("div"));
            render(html`<${Graph} model=${model} drawing=${drawing} />`, place);
        }"""
    )
    site.tab.get_by_role("img", name="agent (running), visited 1 time; other").wait_for()


def test_the_slider(site: Site) -> None:
    """Back to any place, with a link to it, and to what is now."""
    site.start("counts", {"to": 30})
    site.look()
    site.see("completed")
    slider = site.tab.get_by_role("slider", name="Place")
    last = int(slider.get_attribute("max"))
    slider.fill(str(last - 1))
    site.see("This is how it was; the run may have gone on.")
    site.see("running")
    site.button("Link to this place").click()
    site.tab.wait_for_url(re.compile(r"\?at="))
    address = site.tab.url
    site.button("Live").click()
    site.see("completed")
    site.tab.goto("about:blank")
    site.tab.goto(address)
    site.see(f"event {last} of {last + 1}")


@pytest.mark.parametrize("speed", ["1x", "20x"])
def test_a_run_is_shown_again(site: Site, speed: str) -> None:
    """From its beginning, in the time that it took, or faster; it ends with what is now."""
    site.start("counts", {"to": 200})
    site.look()
    site.see("completed")
    site.tab.get_by_label("Speed").select_option(speed)
    site.button("Replay").click()
    site.button("Replay").wait_for()
    site.see("completed")


def test_the_speed_of_what_is_shown_again(site: Site) -> None:
    """Is that of what comes from then on; and what is now can be asked for in the middle."""
    site.start("counts", {"to": 2, "gates": [1]})
    site.held(1, written=1)
    site.tab.wait_for_timeout(8000)
    site.release()
    site.look()
    site.see("completed")
    site.button("Replay").click()
    site.tab.wait_for_timeout(2000)
    site.tab.evaluate(  # at once, however slow the machine is
        """() => {
            const select = [...document.querySelectorAll("label")].find(each => each.innerText.includes("Speed"));
            for (const speed of ["20", "1"]) {
                select.control.value = speed;
                select.control.dispatchEvent(new Event("change", { bubbles: true }));
            }
        }"""
    )
    site.tab.wait_for_timeout(100)
    assert site.button("Pause").is_visible()
    site.tab.evaluate("id => { location.hash = `#/t/${id}?at=1`; }", site.thread)
    site.tab.evaluate("id => { location.hash = `#/t/${id}`; }", site.thread)
    site.button("Replay").wait_for()
    site.see("completed")


def test_zooming(site: Site) -> None:
    """By buttons, by keys and by drawing a rectangle; `Follow` shows the whole run again."""
    site.start("team", {"topics": ["tides"]}, gates=1)
    site.look()
    site.see("completed")
    shown = site.tab.get_by_role("region", name="Waterfall").get_by_text("shown")
    whole = shown.inner_text()
    site.button("Zoom in").click()
    site.tab.wait_for_function(
        "before => !document.body.innerText.includes(before)", arg=whole.partition(",")[0] + " shown"
    )
    assert not site.tab.get_by_label("Follow").is_checked()
    site.tab.get_by_label("Follow").check()
    box = lanes(site).bounding_box()
    y = box["y"] + box["height"] - 4
    site.tab.mouse.move(box["x"] + 400, y)
    site.tab.mouse.down()
    site.tab.mouse.move(box["x"] + 700, y)
    site.tab.mouse.up()
    site.tab.wait_for_function("() => ![...document.querySelectorAll('.tools input')][0].checked")


def test_the_keyboard_alone(site: Site) -> None:
    """Into the lanes by Tab, among the bars by arrows, details by Enter, views by arrows."""
    site.start("team", {"topics": ["tides"]}, gates=1)
    site.look()
    site.see("completed")
    lanes(site).focus()
    for _ in range(12):
        site.tab.keyboard.press("Tab")
        if site.tab.evaluate("document.activeElement.classList.contains('bar')"):
            break
    first = site.tab.evaluate("document.activeElement.dataset.seq")
    site.tab.keyboard.press("ArrowDown")
    site.tab.wait_for_function("first => document.activeElement?.dataset.seq !== first", arg=first)
    site.tab.keyboard.press("Enter")
    site.tab.get_by_role("region", name="Details").wait_for()
    site.tab.get_by_role("tab", name="Chat").focus()
    site.tab.keyboard.press("ArrowRight")
    site.tab.get_by_role("tabpanel", name="State").wait_for()


def test_who_waits_for_whom(site: Site) -> None:
    """The places of the viewers, the run's buffers, and who holds it back, in words."""
    site.start("runs on")
    site.look()
    panel = tab_of(site, "Back-pressure")
    panel.get_by_text("viewer 1: up to date").wait_for()
    panel.get_by_role("list", name="Buffers").get_by_text("events: 0 of").wait_for()
    panel.get_by_text("The server has read everything, and waits for the graph.").wait_for()
    site.client.http.post(
        f"/threads/{site.thread}/runs/{site.client.http.get(f'/live/{site.thread}').json()['run_id']}/cancel"
    )
    panel.get_by_text("No run is under way here.").wait_for()


# --- questions ---


@pytest.mark.parametrize(
    ("form", "given", "answer"),
    [
        ("text", "of course", '"of course"'),
        ("JSON", '{"a": [1]}', '"a": ['),
        ("Yes", None, "true"),
        ("No", None, "false"),
    ],
)
def test_a_question_is_answered(site: Site, form: str, given: str | None, answer: str) -> None:
    """By text, JSON, or a click; it stays, with who has answered."""
    site.start("asks", {})
    site.look()
    question = site.tab.get_by_role("form", name="Question")
    question.get_by_text("Shall I?").wait_for()
    if given is None:
        question.get_by_role("button", name=form).click()
    else:
        question.get_by_label("Send as").select_option(form)
        question.get_by_label("Answer", exact=True).fill(given)
        question.get_by_role("button", name="Answer").click()
    site.see("completed")
    question.wait_for(state="detached")
    site.tab.get_by_text("Answered questions: 1").click()
    site.see("answered here:")
    tab_of(site, "State").get_by_role("region", name="State").get_by_text(answer).wait_for()


def test_an_answer_that_is_no_json(site: Site) -> None:
    """Is not sent."""
    site.start("asks", {})
    site.look()
    question = site.tab.get_by_role("form", name="Question")
    question.get_by_label("Send as").select_option("JSON")
    question.get_by_label("Answer", exact=True).fill("{")
    question.get_by_role("button", name="Answer").click()
    site.tab.get_by_role("alert").filter(has_text="not JSON").wait_for()
    question.wait_for()


def test_questions_of_one_step_are_answered_together(site: Site) -> None:
    """The first answer waits for the second."""
    site.start("two questions", {})
    site.look()
    questions = site.tab.get_by_role("form", name="Question")
    questions.nth(1).wait_for()
    questions.nth(0).get_by_role("button", name="No").click()
    site.see("Your answer is sent when the other questions are answered.")
    questions.nth(0).get_by_role("button", name="Change").click()
    questions.nth(0).get_by_role("button", name="Yes").click()
    questions.nth(1).get_by_role("button", name="No").click()
    site.see("completed")
    tab_of(site, "State").get_by_role("region", name="State").get_by_text("=True").wait_for()


def test_what_was_answered_here_before_a_reload(site: Site) -> None:
    """Was not somebody else's answer; nor is another's answer to a question of the same id this tab's."""
    site.start("asks", {})
    site.look()
    site.button("Yes").click()
    site.see("completed")
    site.start("asks", {})
    site.button("Yes").wait_for()
    (task,) = site.client.state().json()["tasks"]
    site.client.command("input.respond", {"interrupt_id": task["interrupts"][0]["id"], "response": 1})
    site.see("Answered questions: 2")
    site.tab.reload()
    site.tab.get_by_text("Answered questions: 2").click()
    answered = site.tab.get_by_role("region", name="Questions").get_by_role("listitem")
    answered.nth(0).get_by_text("answered here: true").wait_for()
    answered.nth(1).get_by_text("answered by another client").wait_for()


@pytest.mark.parametrize("allowed", [["approve", "reject"], ["edit", "reject"], ["edit"]])
def test_decisions_that_are_allowed(site: Site, allowed: list[str]) -> None:
    """Only these are offered for a click."""
    site.start("reviewed", allowed)
    site.look()
    question = site.tab.get_by_role("form", name="Question")
    question.get_by_role("button", name="Answer").wait_for()
    offered = [each.lower() for each in question.get_by_role("button").all_inner_texts()]
    assert offered == [*(each for each in allowed if each != "edit"), "answer"]


def test_another_client_answers(site: Site) -> None:
    """The form goes, and the page says that it was somebody else."""
    site.start("asks", {})
    site.look()
    site.tab.get_by_role("form", name="Question").wait_for()
    (task,) = site.client.state().json()["tasks"]
    site.client.command("input.respond", {"interrupt_id": task["interrupts"][0]["id"], "response": 1})
    site.see("completed")
    site.tab.get_by_text("Answered questions: 1").click()
    site.see("answered by another client")
