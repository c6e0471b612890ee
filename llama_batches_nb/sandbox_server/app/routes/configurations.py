"""Configurations: list and get."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    Text,
    WorldDep,
    after_token,
    answer,
    missing,
)
from llama_batches_nb.sandbox_server.app.strict_requests import Route
from llama_batches_nb.sandbox_server.state.models import Configuration

router = APIRouter(prefix="/api/v1/beta/configurations", route_class=Route)

ProductType = Literal[
    "classify_v2", "extract_v2", "parse_v2", "split_v1", "spreadsheet_v1", "unknown"
]


def latest(configurations: list[Configuration]) -> dict[str, Configuration]:
    """Return the latest version of each name."""
    return {it.name: it for it in sorted(configurations, key=lambda it: it.updated)}


@router.get("", response_model=response_models.Page[response_models.Configuration])
async def list_configurations(
    world: WorldDep,
    page: PageDep,
    product_type: Annotated[list[ProductType] | None, Query()] = None,
    name: Text = None,
    latest_only: bool = False,
) -> Response:
    """List configurations, oldest first; the presets that the history uses are among them."""
    newest = latest(world.configurations)
    wanted = [
        (place, it)
        for place, it in enumerate(world.configurations)
        if (not product_type or it.job_type in product_type)
        and (name is None or it.name == name)
        and (not latest_only or newest[it.name] is it)
    ]
    rest = after_token(world.ids, "configurations", page, wanted)
    return page.answer(world.ids, "configurations", rest, serializers.configuration, len(wanted))


@router.get("/{configuration_id}", response_model=response_models.Configuration)
async def get_configuration(world: WorldDep, configuration_id: str) -> Response:
    """Get a configuration."""
    found = world.configuration(configuration_id)
    if found is None:
        raise missing("Configuration", configuration_id)
    return answer(serializers.configuration(found[1]))
