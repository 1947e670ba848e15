"""What Hypothesis makes up: JSON of any shape."""

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st

# The machine may be busy: how long an example takes says nothing.
patient = hypothesis.settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
