"""The answers a session keeps."""

from hypothesis import given
from hypothesis import strategies as st

from heartline.core.outbox import SPAN
from heartline.core.server.results import Results

steps = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.integers(0, SPAN - 1), st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("drop"), st.integers(0, SPAN), st.just(b"")),
    ),
    max_size=60,
)


@given(steps)
def test_results_are_a_dict_of_numbers(steps: list[tuple[str, int, bytes]]) -> None:
    results, model, floor = Results(), dict[int, bytes](), 1
    for step, by, payload in steps:
        n = floor + by
        if step == "keep":
            results.keep(n, payload)
            model[n] = payload
            assert results.get(n) == payload
        else:
            floor = n
            results.drop_below(floor)
            model = {n: payload for n, payload in model.items() if n >= floor}
        assert list(results.items()) == sorted(model.items())
        assert (len(results), results.size) == (len(model), sum(map(len, model.values())))
        assert all(results.get(n) == model.get(n) for n in range(floor - 2, floor + SPAN + 2))
