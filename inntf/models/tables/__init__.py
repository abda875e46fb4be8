"""Tables whose columns are of several kinds: described, encoded as arrays, modelled, and decoded."""

from inntf.models.tables.column import Column
from inntf.models.tables.columns import TableColumns
from inntf.models.tables.table_model import TableModel, table_flow

__all__ = ["Column", "TableColumns", "TableModel", "table_flow"]
