"""The one table of the site's own."""
