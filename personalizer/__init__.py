"""personalizer: a landing-page personalization engine. Its folders are rooms on a visit's path."""

__version__ = "0.1.0"
