"""The router: which models may answer a wish, in which order, and why the others may not."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.membrane.errors import AuthenticationFailed, ModelNotFound, RateLimited
from planaria.membrane.models.catalogue import (
    ABILITIES,
    FREE,
    TIERS,
    Ability,
    Catalogue,
    CatalogueModel,
    CatalogueProvider,
    ProviderLimits,
)
from planaria.membrane.models.prices import ModelPrice
from planaria.membrane.models.router import Preferences, ProviderUsage, Request, Route, route

CHEAP, DEAR = ModelPrice(1_000_000, 2_000_000), ModelPrice(5_000_000, 25_000_000)
OFFLINE = CatalogueProvider(
    "offline", "rules", models=(CatalogueModel("offline", prices=FREE),), local=True, complete=True, free=True
)


def provider(name: str, *models: CatalogueModel, **more: object) -> CatalogueProvider:
    return CatalogueProvider(name, "openai", f"https://{name}.example", models, **more)  # type: ignore[arg-type]


def model(name: str, *tiers: str, **more: object) -> CatalogueModel:
    return CatalogueModel(name, tiers=tiers, **more)  # type: ignore[arg-type]


CLOUD = provider(
    "cloud",
    model("small", "light", prices=CHEAP, context_tokens=100_000, abilities=frozenset({"tools"})),
    model(
        "large", "medium", "heavy", prices=DEAR, context_tokens=200_000, abilities=frozenset(ABILITIES[:4])
    ),
)
CHEAPER = provider("cheaper", model("mini", "light", prices=ModelPrice(100, 100)))
NEAR = provider("near", model("own", prices=FREE), local=True, complete=True)


def routed(
    request: Request, *providers: CatalogueProvider, default: str | None = None, **more: object
) -> Route:
    fallback = more.pop("fallback", {})
    catalogue = Catalogue((*providers, OFFLINE), default, fallback)  # type: ignore[arg-type]
    return route(request, catalogue, **more)  # type: ignore[arg-type]


def refs(found: Route) -> list[str]:
    return [each.ref for each in found.candidates]


def why_not(found: Route) -> dict[str, str]:
    return {each.ref: each.why for each in found.left_out}


def test_a_tier_is_met_by_the_cheapest_of_it():
    found = routed(Request("light"), CLOUD, CHEAPER)
    assert refs(found) == ["cheaper/mini", "cloud/small"]
    assert found.candidates[1].cost_estimate_micro == 2000
    assert refs(routed(Request("heavy"), CLOUD, CHEAPER)) == ["cloud/large"]


def test_a_model_whose_tier_nobody_knows_is_asked_where_none_of_the_tier_ever_can_be():
    assert refs(routed(Request("light"), NEAR, CLOUD)) == ["cloud/small"]
    assert refs(routed(Request("light"), NEAR, CLOUD, breakers={"provider:cloud": "open"})) == []
    found = routed(Request("light", local_only=True), NEAR, CLOUD)
    assert refs(found) == ["near/own"]
    assert "its tier is not known" in found.candidates[0].why


def test_among_equals_ones_own_machine_is_asked_first_unless_somebody_says_otherwise():
    own = provider("near", model("own", "light", prices=CHEAP), local=True)
    assert refs(routed(Request("light"), CHEAPER, own)) == ["near/own", "cheaper/mini"]
    spread = routed(Request("light"), CHEAPER, own, preferences=Preferences(local_first=False))
    assert refs(spread) == ["cheaper/mini", "near/own"]
    first = provider("cheaper", model("mini", "light"), priority=1)
    assert refs(routed(Request("light"), own, first)) == ["cheaper/mini", "near/own"]


def test_a_model_that_was_named_is_replaced_by_no_other():
    found = routed(Request("cloud/large", exclude=frozenset({"cloud/large"})), CLOUD, CHEAPER)
    assert refs(found) == []
    assert why_not(found) == {"cloud/large": "it was ruled out by whoever asks"}
    assert refs(routed(Request("cloud/unlisted"), CLOUD)) == ["cloud/unlisted"]


def test_what_stands_in_for_a_wish_is_configured():
    fallback = {"heavy": ("light", "near"), "default": ("light",)}
    down = ProviderLimits(requests_per_day=0)
    full = provider("cloud", *CLOUD.models, limits=down)
    used = {"cloud": ProviderUsage()}
    found = routed(Request("heavy"), full, CHEAPER, NEAR, fallback=fallback, usage=used)
    assert refs(found) == ["cheaper/mini", "near/own"]
    assert found.candidates[0].instead_of == "heavy"
    assert why_not(found)["cloud/large"] == "its 0 requests of today are used up"
    assert refs(routed(Request(), CLOUD, CHEAPER, default="cloud/large", fallback=fallback)) == [
        *("cloud/large", "cloud/small", "cheaper/mini")
    ]


def test_no_wish_is_the_first_provider_that_can_be_used_and_then_its_like():
    broken = provider("broken", model("x", "medium"), problem="its key is missing: set X")
    other = provider("other", model("y", "medium", prices=CHEAP))
    found = routed(Request(), broken, CLOUD, other)
    assert refs(found) == ["cloud/large", "other/y"]
    assert [each.why for each in found.candidates] == ["the default", "of the default's tier"]
    assert why_not(found) == {"broken/x": "its key is missing: set X"}
    assert refs(routed(Request(), CLOUD, other, default="other/y")) == ["other/y"]
    assert refs(routed(Request("light"), CHEAPER, CLOUD, default="cloud/large")) == [
        *("cloud/small", "cheaper/mini")
    ]


def test_local_only_never_leaves_and_says_so():
    found = routed(Request("light", local_only=True), CLOUD, CHEAPER)
    assert refs(found) == []
    assert "start Ollama" in found.problem
    assert isinstance(found.refusal(), ModelNotFound)
    assert refs(routed(Request(local_only=True), CLOUD, NEAR, default="cloud/large")) == ["near/own"]
    handed_on = provider("near", CatalogueModel("x-cloud", elsewhere=True), model("own"), local=True)
    assert refs(routed(Request("local"), handed_on)) == ["near/own"]
    assert refs(routed(Request("near/x-cloud", local_only=True), handed_on)) == []


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Request("light", frozenset({"vision"})), "it cannot do vision"),
        (
            Request("light", input_tokens=99_000, max_output_tokens=2_000),
            "101000 tokens do not fit its 100000",
        ),
    ],
)
def test_what_a_model_cannot_do_leaves_it_out(request_: Request, why: str):
    assert why_not(routed(request_, CLOUD)) == {"cloud/small": why}


def test_embeddings_are_made_by_models_that_make_them_and_talk_by_no_such():
    vectors = provider("v", CatalogueModel("embed", abilities=frozenset({"embeddings"})), model("talk"))
    assert refs(routed(Request("v/embed", frozenset({"embeddings"})), vectors)) == ["v/embed"]
    assert refs(routed(Request("light"), vectors)) == ["v/talk"]


@pytest.mark.parametrize(
    ("used", "why"),
    [
        (ProviderUsage(requests_day=10), "its 10 requests of today are used up"),
        (ProviderUsage(tokens_day=950), "its 1000 tokens of today are used up"),
        (ProviderUsage(micro_usd_day=2_500_000), "its 2.5 USD of today are used up"),
        (ProviderUsage(in_flight=2, queued=3), "2 calls are under way and 3 wait"),
        (ProviderUsage(resting="it asked us to wait 20 s"), "it asked us to wait 20 s"),
    ],
)
def test_a_full_provider_is_left_out_for_a_while_with_the_reason(used: ProviderUsage, why: str):
    limits = ProviderLimits(2, None, None, 10, 1000, 2_500_000, queue=3)
    found = routed(
        Request("p/m", input_tokens=100), provider("p", model("m"), limits=limits), usage={"p": used}
    )
    assert why_not(found) == {"p/m": why}
    assert isinstance(found.refusal(), RateLimited)


def test_a_busy_provider_with_room_in_its_queue_may_be_waited_for():
    busy = provider("p", model("m"), limits=ProviderLimits(concurrency=1, queue=1))
    (candidate,) = routed(Request("p/m"), busy, usage={"p": ProviderUsage(in_flight=1)}).candidates
    assert candidate.queues
    assert "must wait for its turn" in candidate.why


def test_an_open_breaker_of_a_provider_or_a_model_leaves_it_out():
    found = routed(Request("light"), CLOUD, CHEAPER, breakers={"provider:cheaper": "open"})
    assert refs(found) == ["cloud/small"]
    found = routed(Request("light"), CLOUD, breakers={"provider:cloud/small": "open"})
    assert isinstance(found.refusal(), RateLimited)
    found = routed(Request("light"), CLOUD, breakers={"provider:cloud": "half_open"})
    assert "on probation" in found.candidates[0].why


def test_the_offline_rules_answer_where_there_is_nothing_else():
    for wish in (None, "light", "local", "offline"):
        assert refs(routed(Request(wish))) == ["offline/offline"]
    assert refs(routed(Request("local"), CLOUD)) == []
    assert refs(routed(Request("offline"), CLOUD)) == ["offline/offline"]


def test_a_wish_that_means_nothing_names_what_is_near():
    found = routed(Request("cloud/smal"), provider("cloud", *CLOUD.models, complete=True))
    assert "nearest: cloud/small" in found.problem
    catalogue = Catalogue((CLOUD, OFFLINE), unkeyed={"groq": "GROQ_API_KEY"})
    refused = route(Request("groq/x"), catalogue).refusal()
    assert isinstance(refused, AuthenticationFailed)
    assert "set GROQ_API_KEY" in refused.message


# --- for any catalogue ----------------------------------------------------------------------------------------------

PRICES = st.sampled_from(
    [None, FREE, ModelPrice(10**6, 10**7), ModelPrice(10**7, 10**6), ModelPrice(10**5, 10**5)]
)
MODELS = st.builds(
    CatalogueModel,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from([None, None, 1000, 5000]),
    st.sampled_from([None, None, 500, 2000]),
    PRICES,
    st.none() | st.frozensets(st.sampled_from(ABILITIES[:2]), min_size=1),
    st.lists(st.sampled_from(TIERS[1:]), unique=True, max_size=2).map(tuple),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([False, False, False, True]),
)
PROVIDERS = st.builds(
    lambda name, models, **more: CatalogueProvider(
        name, "openai", "", tuple({each.id: each for each in models}.values()), **more
    ),
    st.sampled_from(["p", "q", "r"]),
    st.lists(MODELS, min_size=1, max_size=4),
    local=st.booleans(),
    priority=st.sampled_from([0, 0, 0, -1]),
    enabled=st.sampled_from([True, True, True, False]),
    problem=st.sampled_from(["", "", "", "its key is missing"]),
    complete=st.booleans(),
    limits=st.builds(ProviderLimits, st.none() | st.integers(0, 2), queue=st.none() | st.integers(0, 2)),
)
WISHES = st.sampled_from([None, *TIERS, *TIERS, "p", "p/a", "q/b", "p/zz", "a", "d", "offline", "nobody/x"])
REQUESTS = st.builds(
    Request,
    WISHES,
    st.sampled_from([frozenset[Ability](), frozenset[Ability](), frozenset[Ability]({"tools"})]),
    st.sampled_from([0, 100, 1000, 4000]),
    st.sampled_from([None, None, 400, 1500]),
    st.sampled_from([False, False, True]),
    st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"p/a"}), frozenset({"q", "r/c"})]),
    st.sampled_from([(), (), ("q",), ("r/a", "p")]),
)
CATALOGUES = st.builds(
    lambda providers, default, fallback: Catalogue(
        (*{each.name: each for each in providers}.values(), OFFLINE), default, fallback
    ),
    st.lists(PROVIDERS, min_size=1, max_size=3),
    st.none() | WISHES,
    st.sampled_from([{}, {"heavy": ("medium", "p")}, {"default": ("light",), "p/a": ("heavy", "p/a")}]),
)
USAGE = st.dictionaries(
    st.sampled_from(["p", "q", "r"]),
    st.builds(
        ProviderUsage, st.integers(0, 3), st.integers(0, 3), resting=st.sampled_from(["", "", "rests"])
    ),
)
BREAKERS = st.dictionaries(
    st.sampled_from(["provider:p", "provider:q/b", "provider:r"]),
    st.sampled_from(["open", "half_open", "closed"]),
)
PREFERENCES = st.builds(Preferences, st.booleans())


@settings(max_examples=300, deadline=None)
@given(REQUESTS, CATALOGUES, USAGE, BREAKERS, PREFERENCES)
def test_whatever_there_is_a_route_holds_what_it_promises(
    request_: Request,
    catalogue: Catalogue,
    usage: dict[str, ProviderUsage],
    breakers: dict[str, str],
    preferences: Preferences,
):
    found = route(request_, catalogue, usage, breakers, preferences, explain=True)
    assert found == route(request_, catalogue, usage, breakers, preferences, explain=True)
    # Every model is a candidate or left out, once, with a reason.
    counted = Counter([each.ref for each in found.candidates] + [each.ref for each in found.left_out])
    assert set(counted.values()) <= {1}
    assert {place.ref for place in catalogue} <= set(counted)
    assert all(each.why for each in found.candidates)
    assert all(each.why for each in found.left_out)
    assert bool(found.problem) == (not found.candidates)
    for each in found.candidates:
        place = catalogue.find(each.ref)
        assert place is not None
        owner, chosen = place.provider, place.model
        assert owner.enabled
        assert not owner.problem
        assert not {each.ref, owner.name} & request_.exclude
        assert place.local or not request_.local_only
        assert chosen.abilities is None or request_.needs <= chosen.abilities
        size = request_.input_tokens + (request_.max_output_tokens or 0)
        assert chosen.context_tokens is None or size <= chosen.context_tokens
        assert "open" not in (breakers.get(f"provider:{owner.name}"), breakers.get(f"provider:{each.ref}"))
        assert not usage.get(owner.name, ProviderUsage()).resting
        if request_.wanted in TIERS[1:] and not each.instead_of and owner.name != "offline":
            assert request_.wanted in chosen.tiers or not owner.tiered
        if request_.wanted == "local" and not each.instead_of:
            assert place.local
        if owner.name == "offline":
            assert "offline" in (request_.wanted, catalogue.default) or not [
                p for p in catalogue.providers if p.usable and p.name != "offline"
            ]
    # What the hot path is given is the same without what was never meant.
    quick = route(request_, catalogue, usage, breakers, preferences)
    assert quick.candidates == found.candidates
    assert set(quick.left_out) == {each for each in found.left_out if each.asked}


@settings(max_examples=200, deadline=None)
@given(REQUESTS, CATALOGUES, PREFERENCES)
def test_among_models_that_differ_in_nothing_else_the_cheapest_is_first(
    request_: Request, catalogue: Catalogue, preferences: Preferences
):
    found = route(request_, catalogue, {}, {}, preferences)
    seen: dict[tuple[object, ...], int] = {}
    for each in found.candidates:
        place = catalogue.find(each.ref)
        assert place is not None
        alike = (
            *(each.why.partition(",")[0], each.instead_of, place.provider.priority, place.model.priority),
            *(place.local, "preferred" in each.why, "of the default's provider" in each.why),
            "not known" in each.why,
        )
        if request_.prefer and "preferred" in each.why:
            continue  # in the order of the list
        cost = each.cost_estimate_micro
        dearness = 10**18 if cost is None else cost
        assert seen.get(alike, 0) <= dearness
        seen[alike] = dearness
