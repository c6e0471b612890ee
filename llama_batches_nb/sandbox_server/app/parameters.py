"""The parameters of saved configurations, by product type.

Only their top-level keys are checked. The sandbox uses the tier of parse and extract configurations
and the schema of extract configurations; it keeps the rest as sent.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from llama_batches_nb.sandbox_server.app.strict_requests import RequestModel

Options = dict[str, Any]
ParseTier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]
ExtractTier = Literal["turbo", "cost_effective", "agentic", "agentic_plus"]


class ProductParameters(RequestModel, strict=True):
    """Parameters of any product, whose types are not converted."""


class ParseParameters(ProductParameters):
    """Parameters of a parse configuration."""

    product_type: Literal["parse_v2"]
    tier: ParseTier
    version: str
    agentic_options: Options | None = None
    client_name: str | None = None
    crop_box: Options | None = None
    disable_cache: bool | None = None
    fast_options: Options | None = None
    input_options: Options | None = None
    output_options: Options | None = None
    page_ranges: Options | None = None
    processing_control: Options | None = None
    processing_options: Options | None = None
    webhook_configuration_ids: list[str] | None = None
    webhook_configurations: list[Options] | None = None


class ExtractParameters(ProductParameters):
    """Parameters of an extract configuration."""

    product_type: Literal["extract_v2"]
    data_schema: Options
    advanced_citations: bool | None = None
    cite_sources: bool | None = None
    confidence_scores: bool | None = None
    disable_cache: bool | None = None
    extraction_target: Literal["per_doc", "per_page", "per_table_row"] = "per_doc"
    max_pages: int | None = None
    parse_config_id: str | None = None
    parse_tier: ParseTier | None = None
    sheet_names: list[str] | None = None
    spreadsheet_mode: bool | None = None
    system_prompt: str | None = None
    target_pages: str | None = None
    tier: ExtractTier = "cost_effective"
    version: str = "latest"


class ClassifyParameters(ProductParameters):
    """Parameters of a classify configuration. No batch uses them."""

    product_type: Literal["classify_v2"]
    rules: list[Options]
    mode: str | None = None
    parsing_configuration: Options | None = None


class SplitParameters(ProductParameters):
    """Parameters of a split configuration. No batch uses them."""

    product_type: Literal["split_v1"]
    categories: list[Options]
    splitting_strategy: Options | None = None


class SpreadsheetParameters(ProductParameters):
    """Parameters of a spreadsheet configuration. No batch uses them."""

    product_type: Literal["spreadsheet_v1"]
    extraction_range: str | None = None
    flatten_hierarchical_tables: bool | None = None
    generate_additional_metadata: bool | None = None
    include_hidden_cells: bool | None = None
    sheet_names: list[str] | None = None
    specialization: str | None = None
    table_merge_sensitivity: Literal["strong", "weak"] | None = None
    tier: Literal["cost_effective", "agentic"] | None = None
    use_experimental_processing: bool | None = None


class UntypedParameters(ProductParameters, extra="allow"):
    """Parameters of an unknown product."""

    product_type: Literal["unknown"]


Parameters = Annotated[
    ParseParameters
    | ExtractParameters
    | ClassifyParameters
    | SplitParameters
    | SpreadsheetParameters
    | UntypedParameters,
    Field(discriminator="product_type"),
]
