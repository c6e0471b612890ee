"""The content of a file: facts such as its total, and the blocks of each page.

Nothing is stored: everything derives from the number of the stored file, so every job over a file
finds the same content, and memory stays flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Literal

from llama_batches_nb.sandbox_server.state.clock import EPOCH
from llama_batches_nb.sandbox_server.state.languages import language_of
from llama_batches_nb.sandbox_server.state.sample_data import COMPANIES, TOWNS
from llama_batches_nb.sandbox_server.state.simulation import mix64, page_count

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.languages import Language
    from llama_batches_nb.sandbox_server.state.models import File

BlockKind = Literal["heading", "text", "list", "table", "image"]
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "PLN")
LARGE_DOCUMENTS = 1 / 100  # share of documents with a long table on their last page
LARGE_TABLE_ROWS = (1_500, 4_000)


@dataclass(frozen=True)
class Block:
    """A part of a page. A list has one row per entry, and a table has its header first."""

    kind: BlockKind
    text: str = ""
    level: int = 1
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of an invoice. Amounts are in hundredths of the currency."""

    description: str
    quantity: int
    unit_price: int

    @property
    def amount(self) -> int:
        """Quantity times unit price."""
        return self.quantity * self.unit_price


class Document:
    """The content of a file."""

    def __init__(self, file: File) -> None:
        rng = self._rng(file, 0)
        self._file = file
        self.language: Language = language_of(file.display_name, rng)
        self.page_count = page_count(file)
        self.title = rng.choice(self.language.titles)
        self.number = f"{rng.choice('ABCR')}-{rng.randint(10_000, 99_999)}"
        named = [each for each in COMPANIES if each in file.display_name]
        self.company = named[0] if named else rng.choice(COMPANIES)
        self.town = rng.choice(TOWNS)
        day = (EPOCH + timedelta(microseconds=file.created)).date()
        self.date: date = day - timedelta(days=rng.randint(1, 20))
        self.due_date: date = self.date + timedelta(days=rng.choice((14, 30, 60)))
        self.currency = rng.choice(CURRENCIES)
        self.is_paid = rng.random() < 0.4
        self.is_large = rng.random() < LARGE_DOCUMENTS
        self._line_seed = rng.getrandbits(32)

    @staticmethod
    def _rng(file: File, page: int) -> Random:
        return Random(mix64(*file.stored, page, state=7))

    @cached_property
    def lines(self) -> list[Line]:
        """Lines of the first page."""
        rng = Random(self._line_seed)
        return [self._line(rng) for _ in range(rng.randint(1, 9))]

    def _line(self, rng: Random) -> Line:
        return Line(rng.choice(self.language.goods), rng.randint(1, 40), rng.randint(95, 99_999))

    @property
    def total(self) -> int:
        """Sum of the lines, in hundredths of the currency."""
        return sum(line.amount for line in self.lines)

    def blocks(self, page: int) -> list[Block]:
        """Return the parts of a page, numbered from 1."""
        rng = self._rng(self._file, page)
        blocks = self._first_page(rng) if page == 1 else self._later_page(page, rng)
        if self.is_large and page == self.page_count:
            count = rng.randint(*LARGE_TABLE_ROWS)
            blocks.append(self._table([self._line(rng) for _ in range(count)]))
        return blocks

    def _first_page(self, rng: Random) -> list[Block]:
        number, company, day, due, total = self.language.facts
        facts = (
            (f"{number}: {self.number}",),
            (f"{company}: {self.company}, {self.town}",),
            (f"{day}: {self.date.isoformat()}",),
            (f"{due}: {self.due_date.isoformat()}",),
        )
        return [
            Block("heading", f"{self.title} {self.number}"),
            Block("list", rows=facts),
            Block("text", self._paragraph(rng)),
            self._table(self.lines),
            Block("text", f"**{total}: {format_amount(self.total)} {self.currency}**"),
        ]

    def _later_page(self, page: int, rng: Random) -> list[Block]:
        blocks = [Block("heading", f"{page}. {rng.choice(self.language.sections)}", level=2)]
        for part in range(rng.randint(2, 4)):
            if part:
                blocks.append(Block("heading", rng.choice(self.language.sections), level=3))
            blocks.append(Block("text", self._paragraph(rng)))
        extra = rng.random()
        if extra < 0.3:
            blocks.append(self._table([self._line(rng) for _ in range(rng.randint(2, 20))]))
        elif extra < 0.5:
            rows = tuple((self._sentence(rng),) for _ in range(rng.randint(2, 6)))
            blocks.append(Block("list", rows=rows))
        elif extra < 0.6:
            blocks.append(Block("image", f"{rng.choice(self.language.goods)} ({self.town})"))
        return blocks

    def _table(self, lines: list[Line]) -> Block:
        rows = (
            (
                line.description,
                str(line.quantity),
                format_amount(line.unit_price),
                format_amount(line.amount),
            )
            for line in lines
        )
        return Block("table", rows=(self.language.columns, *rows))

    def _paragraph(self, rng: Random) -> str:
        return " ".join(self._sentence(rng) for _ in range(rng.randint(2, 7)))

    def _sentence(self, rng: Random) -> str:
        return rng.choice(self.language.sentences).format(
            company=self.company,
            town=rng.choice(TOWNS),
            n=rng.randint(2, 90),
            date=(self.date + timedelta(days=rng.randint(1, 300))).isoformat(),
        )


def format_amount(hundredths: int) -> str:
    """Format an amount of money, such as `1,234.50`."""
    return f"{hundredths / 100:,.2f}"
