"""Configurations: list and get."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    StateDep,
    TextQuery,
    items_after_token,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute
from llama_batches_nb.sandbox_server.state.models import Configuration

router = APIRouter(prefix="/api/v1/beta/configurations", route_class=StrictRoute)

ProductType = Literal[
    "classify_v2", "extract_v2", "parse_v2", "split_v1", "spreadsheet_v1", "unknown"
]


def latest_by_name(configurations: list[Configuration]) -> dict[str, Configuration]:
    """Return the latest version of each name."""
    return {each.name: each for each in sorted(configurations, key=lambda each: each.updated)}


@router.get("", response_model=response_models.Page[response_models.Configuration])
async def list_configurations(
    state: StateDep,
    page: PageDep,
    product_type: Annotated[list[ProductType] | None, Query()] = None,
    name: TextQuery = None,
    latest_only: bool = False,
) -> Response:
    """List configurations, oldest first, including the presets that the sample data uses."""
    latest = latest_by_name(state.configurations)
    matching = [
        (index, configuration)
        for index, configuration in enumerate(state.configurations)
        if (not product_type or configuration.job_type in product_type)
        and (name is None or configuration.name == name)
        and (not latest_only or latest[configuration.name] is configuration)
    ]
    remaining = items_after_token(state.ids, "configurations", page, matching)
    return page.response(
        state.ids, "configurations", remaining, serializers.configuration_json, len(matching)
    )


@router.get("/{configuration_id}", response_model=response_models.Configuration)
async def get_configuration(state: StateDep, configuration_id: str) -> Response:
    """Get a configuration."""
    result = state.find_configuration(configuration_id)
    if result is None:
        raise not_found("Configuration", configuration_id)
    return json_response(serializers.configuration_json(result[1]))
