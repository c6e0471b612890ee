"""Configurations: list, get, create or replace, update, delete."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    StateDep,
    TextQuery,
    items_after_token,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.parameters import Parameters
from llama_batches_nb.sandbox_server.app.strict_requests import RequestModel, StrictRoute
from llama_batches_nb.sandbox_server.state.models import Configuration, ProductType
from llama_batches_nb.sandbox_server.state.sample_data import SAMPLE_CONFIGURATIONS
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(prefix="/api/v1/beta/configurations", route_class=StrictRoute)

PRESET_IDS = {each.id for each in SAMPLE_CONFIGURATIONS if each.id}
Name = Annotated[str, Field(min_length=1, max_length=255)]


class CreateConfigurationRequest(RequestModel):
    """Configuration to create."""

    name: Name
    parameters: Parameters


class UpdateConfigurationRequest(RequestModel):
    """Changes of a configuration. What is omitted stays as it is."""

    name: Name | None = None
    parameters: Parameters | None = None


def latest_by_name(configurations: list[Configuration]) -> dict[str, Configuration]:
    """Return the latest version of each name."""
    existing = [each for each in configurations if each.deleted is None]
    return {each.name: each for each in sorted(existing, key=lambda each: each.updated)}


def find_configuration(state: SandboxState, configuration_id: str) -> tuple[int, Configuration]:
    """Return a configuration and its index, or raise a 404."""
    result = state.find_configuration(configuration_id)
    if result is None:
        raise not_found("Configuration", configuration_id)
    return result


def find_saved(state: SandboxState, configuration_id: str) -> tuple[int, Configuration]:
    """Return a configuration that can be changed, or raise a 404 or, for a preset, a 400."""
    if configuration_id in PRESET_IDS:
        raise HTTPException(400, f"'{configuration_id}' is a built-in preset and cannot be changed")
    return find_configuration(state, configuration_id)


@router.post("", response_model=response_models.Configuration, responses=error_docs(413))
async def create_configuration(state: StateDep, body: CreateConfigurationRequest) -> Response:
    """Create a configuration, or replace the one with this name and product type."""
    product_type = body.parameters.product_type
    existing = (
        index
        for index, each in enumerate(state.configurations)
        if (each.name, each.job_type, each.deleted) == (body.name, product_type, None)
    )
    index = next(existing, None)
    if index is not None and state.configurations[index].id in PRESET_IDS:
        index = None
    parameters = body.parameters.model_dump(exclude_unset=True)
    configuration = state.save_configuration(index, body.name, product_type, parameters)
    return json_response(serializers.configuration_json(configuration))


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
        if configuration.deleted is None
        and (not product_type or configuration.job_type in product_type)
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
    _, configuration = find_configuration(state, configuration_id)
    return json_response(serializers.configuration_json(configuration))


@router.put(
    "/{configuration_id}", response_model=response_models.Configuration, responses=error_docs(413)
)
async def update_configuration(
    state: StateDep, configuration_id: str, body: UpdateConfigurationRequest
) -> Response:
    """Change the name or the parameters of a saved configuration."""
    index, configuration = find_saved(state, configuration_id)
    product_type, parameters = configuration.job_type, configuration.parameters
    if body.parameters is not None:
        product_type = body.parameters.product_type
        parameters = body.parameters.model_dump(exclude_unset=True)
    name = body.name or configuration.name
    updated = state.save_configuration(index, name, product_type, parameters)
    return json_response(serializers.configuration_json(updated))


@router.delete("/{configuration_id}", status_code=204)
async def delete_configuration(state: StateDep, configuration_id: str) -> Response:
    """Delete a saved configuration. Batches that use it are not affected."""
    index, _ = find_saved(state, configuration_id)
    state.delete_configuration(index)
    return Response(status_code=204)
