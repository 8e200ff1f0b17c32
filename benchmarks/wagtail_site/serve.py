"""Fills the site's database, then serves it: `python -m benchmarks.wagtail_site.serve PORT MAX_HEADERS HEADER_SECONDS`.

What enters: `BENCH_SITE`, a directory with `site.json` and `templates/offer.html`. What leaves: pages, until SIGTERM.
Must not: give the peer less than we have: the same granian, one worker, one thread, the same limits.
"""

import json
import os
import sys

import django
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.mt import MTServer

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.wagtail_site.settings"
django.setup()

from django.core.management import call_command  # noqa: E402 - models can be imported after the setup
from django.core.wsgi import get_wsgi_application  # noqa: E402
from wagtail.models import Page, Site  # noqa: E402
from wagtail_personalisation.models import PersonalisablePageMetadata, Segment  # noqa: E402
from wagtail_personalisation.rules import DeviceRule, QueryRule  # noqa: E402

from benchmarks.wagtail_site import settings  # noqa: E402
from benchmarks.wagtail_site.models import OfferPage  # noqa: E402


class _WorkerServer(MTServer):
    """Granian's one-process server, as `personalizer.serve` makes it."""

    def _check_gil(self) -> None:
        return


def fill_site() -> None:
    """One page, a segment for each variant, and what each of them shows."""
    told = json.loads((settings.FOLDER / "site.json").read_text("utf-8"))
    call_command("migrate", verbosity=0)
    home = Page.get_first_root_node().add_child(instance=Page(title="Stockwise", slug="stockwise"))
    Site.objects.update(root_page=home)
    page = home.add_child(instance=OfferPage(title="Offer", slug="offer", copy_slots=told["original"]))
    metadata = PersonalisablePageMetadata.objects.create(canonical_page=page, variant=page)
    for number, variant in enumerate(told["variants"]):
        segment = Segment.objects.create(name=f"segment {number}")
        for parameter, value in variant["query"].items():
            QueryRule.objects.create(segment=segment, parameter=parameter, value=value)
        if variant["mobile"]:
            DeviceRule.objects.create(segment=segment, mobile=True)
        shown = metadata.copy_for_segment(segment).specific
        shown.copy_slots = {**told["original"], **variant["copy"]}
        shown.save_revision().publish()


def serve_site(port: int, max_headers: int, header_seconds: int) -> None:
    """As `personalizer.worker.run_worker` serves the edge."""
    app = get_wsgi_application()
    _WorkerServer(
        "wagtail",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=1,
        blocking_threads=1,
        websockets=False,
        log_enabled=False,
        http1_settings=HTTP1Settings(max_buffer_size=max_headers, header_read_timeout=header_seconds * 1000),
    ).serve(target_loader=lambda *_: app, wrap_loader=False)


if __name__ == "__main__":
    fill_site()
    serve_site(*map(int, sys.argv[1:]))
