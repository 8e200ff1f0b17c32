"""The page that the site serves: our page's copy, personalisable.

What enters: copy as JSON. What leaves: the page. Must not: do what our page does beyond showing its copy: tokens stand
in it as their fallbacks, and no exposure is recorded.
"""

from django.db import models
from wagtail.models import Page
from wagtail_personalisation.models import PersonalisablePageMixin


class OfferPage(PersonalisablePageMixin, Page):
    """A page whose slots are in `copy_slots`, for the template that every peer fills."""

    copy_slots = models.JSONField(default=dict)
    template = "offer.html"

    def get_context(self, request, *args, **kwargs):
        return {**super().get_context(request, *args, **kwargs), "copy": self.copy_slots}
