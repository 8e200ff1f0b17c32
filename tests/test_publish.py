"""`serve --watch`: what changes is published whole, while pages are served, or not at all.

`make test` publishes and kills some times; `make soak` 1,000 times.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest
from servers import WORKSPACE, Client, Server, run_command, run_server, running, until
from werkzeug.test import Client as Browser
from werkzeug.test import create_environ, run_wsgi_app

from personalizer import publish
from personalizer.app import create_edge_app
from personalizer.config import load_settings
from personalizer.content.compile import Content, load_content
from personalizer.content.counters import read_counters
from personalizer.content.files import hash_workspace
from personalizer.content.store import content_file, finish, read_content, remove_others, save_content
from personalizer.edge.state import open_edge
from personalizer.edge.swap import follow_supervisor
from personalizer.publish import SETTLE_SECONDS, Publisher, Watch, open_content
from personalizer.serve import Supervisor, _Child
from personalizer.visitor.read import open_visitor_reader

SOAK = "PERSONALIZER_SOAK" in os.environ
KILLS, WRITERS = (1000, 5000) if SOAK else (10, 100)  # about 2 s each; about 50 ms each
SWAPS = 60 if SOAK else 4

PAGE = "variants/pages/payroll/page.yaml"
HEADLINE = "headline: Payroll that closes itself"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The shipped workspace, to be changed."""
    root = tmp_path / "site"
    for name in ("variants", "templates"):
        shutil.copytree(WORKSPACE / name, root / name)
    return root


def edit(site: Path, headline: str) -> None:
    """Change the headline of the original, as an editor does: beside it, then in its place."""
    text = (WORKSPACE / PAGE).read_text("utf-8").replace(HEADLINE, f"headline: {headline}")
    draft = site / PAGE.replace("page.yaml", ".page.yaml.new")
    draft.write_text(text, "utf-8")
    draft.replace(site / PAGE)


def headline_of(server: Server) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", Client(server).get("/payroll").text, re.DOTALL)
    assert found
    return found[1].strip()


def revision_of(server: Server) -> str:
    revision: str = Client(server).get("/readyz").json["revision"]
    return revision


def kept(server: Server) -> list[str]:
    """The revisions that the data directory keeps."""
    return sorted(path.name[:12] for path in (server.data / "content").iterdir() if not path.name.startswith("."))


def test_what_changes_is_published_in_every_worker(site: Path, tmp_path: Path) -> None:
    with run_server(tmp_path / "data", workspace=site, WATCH="yes", WORKERS="2") as server:
        before, workers = revision_of(server), server.workers()
        edit(site, "Payroll anew")
        until(lambda: "published revision" in server.log.read_text())
        assert {headline_of(server) for _ in range(40)} == {"Payroll anew"}, "each connection goes to one of the two"
        revision = revision_of(server)
        assert revision != before
        until(lambda: kept(server) == [revision])
        assert server.workers() == workers
        assert {row["revision"] for row in server.events(kind="exposure")} == {revision}

        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        until(lambda: not running(workers) and len(server.workers()) == 2 and server.answers())
        assert {headline_of(server) for _ in range(40)} == {"Payroll anew"}, "who starts, starts with what is published"


def test_a_mistake_keeps_what_was_published_and_is_told(site: Path, tmp_path: Path) -> None:
    with run_server(tmp_path / "data", workspace=site, WATCH="yes") as server:
        before = revision_of(server)
        (site / "variants/personas/nobody.yaml").write_text("name: Nobody in particular\n", "utf-8")
        icp = site / "variants/icps/startup.yaml"
        text = icp.read_text("utf-8")
        icp.write_text(text.replace("company.employees", "company.employes"), "utf-8")
        log = until(lambda: server.log.read_text() if "stays" in server.log.read_text() else "")
        assert f"ERROR {icp}:" in log and "Did you mean `company.employees`?" in log
        assert "ERROR nothing of this is published, and what was published before stays" in log
        told = run_command("check", str(site)).stdout
        assert "warning: " in told and "warning: " not in log, "a warning keeps nothing from being published"
        mistakes = [line for line in told.splitlines() if line.startswith(str(site)) and "warning: " not in line]
        assert mistakes and all(mistake in log for mistake in mistakes), "it says what `check` says"
        assert (revision_of(server), headline_of(server)) == (before, "Payroll that closes itself")

        (site / "variants/personas/nobody.yaml").unlink()
        icp.write_text(text, "utf-8")
        until(lambda: f"the files are right again, as they were published: revision {before}" in server.log.read_text())
        icp.write_text(text, "utf-8")
        time.sleep(3 * SETTLE_SECONDS)
        assert server.log.read_text().count("right again") == 1, "only what was wrong is right again"
        edit(site, "Mended")
        until(lambda: headline_of(server) == "Mended")


def test_explain_report_and_doctor_see_what_is_served(site: Path, tmp_path: Path) -> None:
    """The content that was published, whatever lies in the files since; once nothing is served, the files."""
    page, data = site / "variants/pages/payroll/page.yaml", tmp_path / "data"

    def explain() -> subprocess.CompletedProcess[str]:
        return run_command("explain", "/wages", "--data", str(data), "--json", WORKSPACE=str(site))

    with run_server(data, workspace=site, WATCH="yes") as server:
        text = page.read_text("utf-8").replace("path: /payroll\n", "path: /wages\n")
        page.write_text(text, "utf-8")
        until(lambda: "published revision" in server.log.read_text())
        page.write_text(text.replace("path: /wages\n", "path: /salaries\n") + "\nmistake: yes\n", "utf-8")
        until(lambda: "stays" in server.log.read_text())
        assert Client(server).get("/wages").status == 200
        told = orjson.loads(explain().stdout)
        assert (told["revision"][:12], told["served"]) == (revision_of(server), True)
        assert told["decision"]["status"] == 200
        shown = run_command("explain", "/wages", "--data", str(data), WORKSPACE=str(site / "variants/..")).stdout
        assert f"Revision {revision_of(server)}, as process {server.process.pid} serves it." in shown
        assert "have changed since and are not published" in shown
        reported = run_command("report", "--data", str(data), WORKSPACE=str(site))
        assert reported.returncode == 0, reported.stderr
        said = run_command("doctor", "--data", str(data), WORKSPACE=str(site)).stdout
        (worker,) = server.workers()
        found = re.search(rf"Edge worker 1 \(process {worker}\) holds (\d+) MB, (\d+) MB of them alone\.", said)
        assert found and 0 < int(found[2]) < int(found[1]) < 1000
        other = run_command("explain", "/payroll", "--data", str(data), "--json", WORKSPACE=str(WORKSPACE))
        assert orjson.loads(other.stdout)["served"] is False, "the server has another workspace"

    assert "mistake" in explain().stderr
    page.write_text(text, "utf-8")
    told = orjson.loads(explain().stdout)
    assert (told["revision"], told["served"]) == (hash_workspace(site), False)


def test_it_says_what_a_publish_raises(site: Path, tmp_path: Path) -> None:
    with run_server(tmp_path / "data", workspace=site, WATCH="yes") as server:
        experiment = site / "variants/experiments/payroll-cfo.yaml"
        text = experiment.read_text("utf-8")
        assert "weights" not in text
        experiment.write_text(text + "\nweights: [0.7, 0.3]\n", "utf-8")
        until(lambda: "published revision" in server.log.read_text())
        assert "weights or coverage changed, so weight epoch 2 begins" in server.log.read_text()
        assert read_counters(server.data)["payroll-cfo"].weight_epoch == 2


def test_without_watch_nothing_is_published(site: Path, tmp_path: Path) -> None:
    with run_server(tmp_path / "data", workspace=site) as server:
        edit(site, "Unseen")
        time.sleep(3 * SETTLE_SECONDS)
        assert headline_of(server) == "Payroll that closes itself"


def test_new_hosts_and_paths_are_answered(site: Path, tmp_path: Path) -> None:
    with run_server(tmp_path / "data", workspace=site, WATCH="yes") as server:
        visitor = Client(server)
        assert visitor.get("/wages", Host="wages.example").status == 400
        for file, old, new in (
            ("variants/workspace.yaml", "hosts: [", "hosts: [wages.example, "),
            (PAGE, "path: /payroll\nretired_paths: [/payroll-software]", "path: /wages\nretired_paths: [/payroll]"),
        ):
            text = (site / file).read_text("utf-8")
            assert old in text
            (site / file).write_text(text.replace(old, new), "utf-8")
        until(lambda: visitor.get("/wages", Host="wages.example").status == 200)
        moved = visitor.get("/payroll?a=b")
        assert (moved.status, moved.headers["Location"]) == (301, "/wages?a=b")


# --- what goes wrong meanwhile ---


def test_what_fails_is_published_later(site: Path, tmp_path: Path) -> None:
    """Counters that cannot be written, and what cannot be removed: the server goes on, and publishes in the end."""
    data = tmp_path / "data"
    with run_server(data, workspace=site, WATCH="yes") as server:
        (data / "content" / "folder").mkdir()
        (data / "experiments.new").mkdir()
        experiment = site / "variants/experiments/payroll-cfo.yaml"
        experiment.write_text(experiment.read_text("utf-8") + "\nweights: [0.7, 0.3]\n", "utf-8")
        edit(site, "In the end")
        until(lambda: "trying again in" in server.log.read_text())
        assert headline_of(server) == "Payroll that closes itself"
        (data / "experiments.new").rmdir()
        until(partial(shows, server, "In the end"))
        until(lambda: "folder is of no use any more" in server.log.read_text())
        assert shows(server, "In the end")


@pytest.fixture
def publisher(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A publisher that has just seen a change."""
    monkeypatch.setattr(publish, "_PAUSE_SECONDS", 0.1)
    made = Publisher(load_settings({"workspace": str(site), "data": str(tmp_path / "data")}, environ={}))
    edit(site, "Changed")
    return made


def published(publisher: Publisher) -> Content:
    return until(lambda: publisher.turn("live"))


def test_a_publisher_without_a_process_or_room_tries_again(
    publisher: Publisher, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", no_process)
        until(lambda: publisher.turn("live") or "Resource temporarily unavailable" in caplog.text)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "content").write_text("no folder")
    until(lambda: publisher.turn("live") or "compiling it ended with status 1" in caplog.text)
    (tmp_path / "data" / "content").unlink()
    assert published(publisher)


def no_process() -> int:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_what_cannot_be_read_back_is_compiled_again(
    publisher: Publisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    until(lambda: publisher.turn("live") or publisher.busy)
    (file,) = (tmp_path / "data" / "content").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert published(publisher)
    assert "is damaged" in caplog.text


def test_word_of_one_publish_never_removes_the_next(
    publisher: Publisher, sample_content: Content, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    supervisor = Supervisor(load_settings({"data": str(data)}, environ={}))
    supervisor._content = sample_content
    old = save_content(data, sample_content).with_name("old")
    old.write_bytes(b"")
    ours, theirs = socket.socketpair()
    supervisor._children = [_Child(lambda: 0, "edge worker", os.getpid(), channel=ours)]
    supervisor._tell_workers("swap", sample_content)
    until(lambda: publisher.turn("live") or not publisher.idle)
    with ours, theirs:
        theirs.sendall(theirs.recv(1000))
        supervisor._publish(publisher, sample_content)
        assert supervisor._step == "" and old.exists()
        until(lambda: supervisor._publish(publisher, sample_content) or supervisor._step)
        assert supervisor._content is not None and supervisor._content is not sample_content
        new = content_file(data, supervisor._content.registry.revision)
        assert new.exists()
        for _ in ("load", "swap"):
            theirs.sendall(theirs.recv(1000))
            supervisor._publish(publisher, supervisor._content)
        until(
            lambda: supervisor._publish(publisher, supervisor._content) or list((data / "content").iterdir()) == [new]
        )


# --- requests meanwhile ---


def visit_for_ever(server: Server, seen: Counter[str], stop: threading.Event) -> None:
    """Somebody whose browser asks for a page and for its files on connections of their own."""
    while not stop.wait(0.002):
        try:
            page = Client(server).get("/payroll")
            found = re.search(r"<h1[^>]*>\s*(\S+)", page.text)
            seen[found[1] if found and page.status == 200 else f"page: {page.status}"] += 1
            for asset in set(re.findall(r"/_pz/assets/[\w./-]+logo[\w.-]*|/_pz/assets/logo[\w.-]+", page.text)):
                status = Client(server).get(asset).status
                seen["a logo" if status == 200 else f"logo: {status}"] += 1
        except OSError as error:
            seen[f"failed: {error}"] += 1


@pytest.fixture
def visited(site: Path, tmp_path: Path) -> Iterator[tuple[Server, Counter[str]]]:
    """A server of two workers with visitors that never stop coming, and the first words of what they see."""
    seen, stop = Counter[str](), threading.Event()
    with run_server(tmp_path / "data", workspace=site, WATCH="yes", WORKERS="2") as server:
        threads = [threading.Thread(target=visit_for_ever, args=(server, seen, stop)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield server, seen
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_worker_knows_new_files_and_forms_before_it_shows_them(site: Path, tmp_path: Path) -> None:
    """Another worker may show the new page a moment earlier, and its browser asks this one for the rest."""
    settings = load_settings({"workspace": str(site), "data": str(tmp_path / "data")}, environ={})
    edge = open_edge(settings, open_content(settings), open_visitor_reader(settings))
    browser = Browser(create_edge_app(edge).wsgi_app)
    variants = site / "variants/pages/payroll"
    (variants / "it-lead.yaml").rename(variants / "it-lead-anew.yaml")
    with (site / "templates/assets/logo.svg").open("a") as logo:
        logo.write("<!-- anew -->")
    edit(site, "Anew")
    content = load_content(site)
    save_content(settings.data, content)
    (new_logo,) = (name for name in content.renderings.assets if name.endswith("/logo.svg"))
    ours, theirs = socket.socketpair()
    worker = threading.Thread(target=follow_supervisor, args=(edge, settings, theirs))
    worker.start()

    def tell(step: str) -> None:
        line = f"{step} 1 {content.registry.revision}\n".encode()
        ours.sendall(line)
        assert ours.recv(1000) == line

    def asked() -> tuple[int, int, bool]:
        """The answers for a new file and for a form of a new variant, and whether the page is the new one."""
        file = browser.get(f"/_pz/assets/{new_logo}").status_code
        shown = browser.post("/_pz/form/payroll/form", data={"v": "it-lead-anew"}).text
        return file, "it-lead-anew" in shown, "Anew" in browser.get("/payroll").text

    with ours:
        assert asked() == (404, False, False)
        tell("load")
        assert asked() == (200, True, False)
        tell("swap")
        assert asked() == (200, True, True)
    worker.join()
    edge.events.close()
    edge.leads.close()


def test_what_requests_leave_behind_is_not_kept_with_content(site: Path, tmp_path: Path) -> None:
    """No collection looks through content, nor through whatever was alive when it was told so."""
    settings = load_settings({"workspace": str(site), "data": str(tmp_path / "data")}, environ={})
    edge = open_edge(settings, open_content(settings), open_visitor_reader(settings))
    app, ours, theirs = create_edge_app(edge), *socket.socketpair()
    worker = threading.Thread(target=follow_supervisor, args=(edge, settings, theirs))
    worker.start()
    contents, sizes = [], []
    for number in range(2):
        edit(site, f"Edition {number} of payroll")
        contents.append(load_content(site))
        save_content(settings.data, contents[-1])
    with ours:
        for number in range(8):
            line = f"load {number} {contents[number % 2].registry.revision}\n".encode()
            ours.sendall(line)
            while not select.select([ours], [], [], 0.0005)[0]:
                assert run_wsgi_app(app.wsgi_app, create_environ("/no-such-page"))[1] == "404 NOT FOUND"
            assert ours.recv(1000) == line
            edge.content, edge.later = edge.later or edge.content, None
            sizes.append(gc.get_freeze_count())
    worker.join()
    assert sizes[-1] < sizes[2] + 1000, f"objects that are never looked at, after each publish: {sizes}"
    edge.events.close()
    edge.leads.close()
    gc.unfreeze()


@pytest.mark.slow
def test_no_request_fails_while_content_is_swapped(site: Path, visited: tuple[Server, Counter[str]]) -> None:
    server, seen = visited
    workers = server.workers()
    sizes = []
    logo = site / "templates/assets/logo.svg"
    for number in range(SWAPS):
        logo.write_text(logo.read_text("utf-8") + f"<!-- {number} -->", "utf-8")
        edit(site, f"Edition-{number} of payroll")
        until(lambda word=f"Edition-{number}": seen[word] > 10, 30)
        until(lambda count=number + 1: server.log.read_text().count("published revision") == count)
        time.sleep(2.5)  # the old content is freed
        sizes.append(memory_of(workers[0]))
    assert set(seen) == {"Payroll", "a logo", *(f"Edition-{number}" for number in range(SWAPS))}
    assert server.workers() == workers
    assert sizes[-1] < sizes[1] + 4, f"megabytes after each publish: {sizes}"


def memory_of(pid: int) -> float:
    """Private megabytes of a process."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"Private_\w+: +(\d+)", told)) / 1024


# --- kills ---


@pytest.mark.fault
def test_kills_during_a_publish_leave_the_old_or_the_new(site: Path, tmp_path: Path) -> None:
    """Whoever is killed, whenever: a page is of the old or of the new content, and what is kept can be read."""
    draw, data = random.Random(7), tmp_path / "data"
    with run_server(data, workspace=site, WATCH="yes") as server:
        for number in range(KILLS):
            old, new = headline_of(server), f"Payroll, edition {number}"
            edit(site, new)
            time.sleep(draw.uniform(0, 2.2 * SETTLE_SECONDS + 1))
            victim = draw.choice(("worker", "compiler", "server"))
            if victim == "server":
                pids = server.kill()
                until(partial(all_ended, pids), 5)
                server.start_again(workspace=site, WATCH="yes")
                assert headline_of(server) == new, "a start takes what the files say"
                continue
            compiling = compilers(server)
            for pid in compiling if victim == "compiler" else set(server.workers()) - set(compiling):
                os.kill(pid, signal.SIGKILL)
            until(server.answers)
            assert headline_of(server) in (old, new)
            until(partial(shows, server, new))
        edit(site, "The last")
        until(partial(shows, server, "The last"))
        until(lambda: kept(server) == [revision_of(server)])


@pytest.mark.fault
def test_kills_while_content_is_kept_leave_whole_files(sample_content: Content, tmp_path: Path) -> None:
    editions = [
        replace(sample_content, registry=replace(sample_content.registry, revision=letter * 64)) for letter in "ab"
    ]
    draw, seen = random.Random(8), set[str]()
    for _ in range(WRITERS):
        writer = os.fork()
        if not writer:
            with contextlib.suppress(BaseException):
                for edition in editions * 1000:
                    remove_others(save_content(tmp_path, edition))
            os._exit(0)
        time.sleep(draw.uniform(0.01, 0.08))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        files = [path for path in (tmp_path / "content").glob("*-*") if not path.name.startswith(".")]
        assert len(files) <= 2
        for path in files:
            seen.add(finish(read_content(path)).registry.revision)
    assert seen == {"a" * 64, "b" * 64}


def all_ended(pids: list[int]) -> bool:
    return not running(pids)


def shows(server: Server, headline: str) -> bool:
    return server.answers() and headline_of(server) == headline


def compilers(server: Server) -> list[int]:
    """Processes of the server that compile: nobody else yields to pages as much."""
    return [pid for pid in server.children() if os.getpriority(os.PRIO_PROCESS, pid) == 10]


# --- when files lie still ---


def test_a_change_is_told_once_files_lie_still(site: Path) -> None:
    watch = Watch(site)
    assert not watch.settled()
    told = []
    until(lambda: (edit(site, f"x{len(told)}"), told.append(looks(watch)), len(told) > 3)[-1])
    assert told == [False] * 4, "it moves on at each look"
    assert looks(watch)
    assert not looks(watch)
    (site / "variants/icps/.startup.yaml.swp").write_text("x")
    assert not looks(watch) and not looks(watch), "what editors keep is no change"
    (site / "variants/icps/brazil.yaml").unlink()
    assert not looks(watch)
    assert looks(watch)


def looks(watch: Watch) -> bool:
    """What it says at its next look."""
    watch._due = 0.0
    return watch.settled()
