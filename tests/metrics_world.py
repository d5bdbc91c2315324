"""Figures as a gateway has them, without one: its own methods and codes, counted in cells, told as a page."""

from tests.scraping import Scrape

from remit_server.adapters.metrics.catalogue import Catalogue, Method
from remit_server.adapters.metrics.cells import Cells
from remit_server.adapters.metrics.figures import Figures
from remit_server.adapters.metrics.telling import Telling
from remit_server.transport.grpc.methods import code_names, served_methods

CATALOGUE = Catalogue.of([Method(name, streams) for name, streams in served_methods()], code_names())


def figures_of(workers: int = 1) -> list[Figures]:
    """Returns the figures of each worker of a new gateway."""
    cells = Cells.of(workers)
    return [Figures(cells, number, CATALOGUE) for number in range(1, workers + 1)]


def page_of(figures: Figures) -> Scrape:
    """Returns what a scraper is told."""
    body, _ = Telling(figures.cells, figures.catalogue)("")
    return Scrape.of(body.decode())
