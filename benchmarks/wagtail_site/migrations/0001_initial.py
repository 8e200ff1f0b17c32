"""The table of `OfferPage`.

What enters: Wagtail's tables. What leaves: one more. Must not: hold what a run does not need.
"""

import wagtail_personalisation.models
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("wagtailcore", "__latest__")]
    operations = [
        migrations.CreateModel(
            name="OfferPage",
            fields=[
                (
                    "page_ptr",
                    models.OneToOneField("wagtailcore.Page", models.CASCADE, parent_link=True, primary_key=True),
                ),
                ("copy_slots", models.JSONField(default=dict)),
            ],
            options={"abstract": False},
            bases=(wagtail_personalisation.models.PersonalisablePageMixin, "wagtailcore.page"),
        )
    ]
