"""Pictures of what the runs of a sweep show."""

import contextlib
import os
import sys

# A notebook tells its `!python ...` to draw with MPLBACKEND, a module that this Python may not
# have; then `import matplotlib` fails. The figures do not need it: they choose their own canvas.
if "MPLBACKEND" in os.environ and "matplotlib" not in sys.modules:
    backend = os.environ.pop("MPLBACKEND")
    import matplotlib

    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = backend
        os.environ["MPLBACKEND"] = backend
