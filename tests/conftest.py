"""What every test shares."""

from hypothesis import settings

# The first example of a law compiles kernels, which takes seconds; no example is judged by its time.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
