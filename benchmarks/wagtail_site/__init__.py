"""The peer of row 4: a Wagtail site with wagtail-personalisation, run in a virtual environment of its own."""
