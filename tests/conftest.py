"""What holds for all tests: hypothesis draws the same cases in every run of CI, and no test has a clock to beat."""

import os

import hypothesis

hypothesis.settings.register_profile("exploring", deadline=None)
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable" if os.environ.get("CI") else "exploring")
