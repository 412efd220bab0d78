"""How long the properties of this folder search: ``REFRESH_INPUT_EXAMPLES`` is the number of examples of each."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = int(os.environ.get("REFRESH_INPUT_EXAMPLES", "10"))
SHRUNK = 2
"""Examples of a share below this one take so long that a failure is shown as it was found."""


def searched(share: float = 1) -> settings:
    """The settings of a property whose examples take more or less time than others. One database serves them all."""
    return settings(
        max_examples=max(int(EXAMPLES * share), 1),
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if share >= SHRUNK else [])],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
