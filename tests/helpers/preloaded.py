"""What a command imports sooner or later, imported once for all of them."""

import ppbench.api
import ppbench.cli
import ppbench.hydra_app
import ppbench.report.write
import ppbench.testing.command  # noqa: F401
