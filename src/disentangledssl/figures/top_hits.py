"""First hits of a few test phenotypes as drawn molecules, the phenotype's own one framed. Ours.

A row a phenotype: its first molecules by cosine of zc, with rank and cosine, and behind a gap its own molecule, where
that comes later. How the phenotypes were chosen: ``hits.rank_shown_hits``.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import numpy as np
from matplotlib import image
from rdkit.Chem.Draw import rdMolDraw2D

from disentangledssl.figures import style
from disentangledssl.files import read_table, table_info
from disentangledssl.hits import SHOWN_HITS
from disentangledssl.structures import parse

WIDTH, HEIGHT, BETWEEN, CAPTION = 24.5, 18.0, 1.0, 5.0  # millimetres, of a drawing and around it
LEFT, GAP, TOP = 24.0, 3.0, 10.0
FRAME = "#D55E00"
DPI = 600
BOND, LINE = 1.9, 0.22  # millimetres; a molecule that is too large for it is drawn smaller


def plot(hits: Path, png: Path) -> None:
    """Draw the figure and write its table."""
    table = read_table(hits)
    rows, info = table.to_pandas(), table_info(table)["dataset"]
    if rows.empty:
        style.save(style.say(info["title"], "The run to be shown diverged: it ranks no molecule."), png, rows)
        return
    phenotypes = list(dict.fromkeys(rows["phenotype"]))
    height = TOP + len(phenotypes) * (HEIGHT + CAPTION)
    figure = style.open_page(style.PAGE, height)

    def write(left: float, top: float, text: str, **how) -> None:
        across, up = figure.get_size_inches() / style.MILLIMETRE
        figure.text(left / across, 1 - top / up, text, va="top", **how)

    write(1, 1, info["title"], color=style.REFERENCE_COLOUR)
    write(LEFT, TOP - 4.5, "Nearest molecules: rank, cosine of $z_c$ (the phenotype's own molecule is framed)")
    write(LEFT + SHOWN_HITS * (WIDTH + BETWEEN) + GAP, TOP - 4.5, "own molecule, if later", color=FRAME)
    for line, phenotype in enumerate(phenotypes):
        top = TOP + line * (HEIGHT + CAPTION)
        found = rows[rows["phenotype"] == phenotype].reset_index(drop=True)
        own = found[found["is_true"]].iloc[0]
        name = "\n".join(textwrap.wrap(phenotype.replace(":", ": "), 17, break_on_hyphens=False))
        write(1, top + 1, f"{name}\nown molecule:\nrank {own['rank']:g} of {own['pool']}", fontsize=6.5)
        for place, hit in found.iterrows():
            left = LEFT + place * (WIDTH + BETWEEN) + (GAP if place >= SHOWN_HITS else 0)
            axis = style.place_axes(figure, left, height - top - HEIGHT, WIDTH, HEIGHT)
            axis.imshow(draw_molecule(hit["smiles"]), interpolation="antialiased", aspect="auto")
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set(visible=True, color=FRAME if hit["is_true"] else style.FAINT)
                spine.set_linewidth(1.5 if hit["is_true"] else 0.4)
            how = {"color": FRAME, "fontweight": "bold"} if hit["is_true"] else {}
            text = f"{hit['rank']:g}:  {hit['cosine']:.2f}"
            write(left + WIDTH / 2, top + HEIGHT + 0.8, text, ha="center", **how)
    style.save(figure, png, rows)


def draw_molecule(smiles: str) -> np.ndarray:
    """Draw a molecule in black, ``(height, width, 4)``, its bonds of one length where they fit."""
    pixels = DPI * style.MILLIMETRE
    canvas = rdMolDraw2D.MolDraw2DCairo(int(WIDTH * pixels), int(HEIGHT * pixels))
    options = canvas.drawOptions()
    options.useBWAtomPalette()
    options.fixedBondLength = BOND * pixels
    options.bondLineWidth = LINE * pixels
    options.scaleBondWidth = False
    options.padding = 0.04
    options.minFontSize = -1  # as small as the bonds
    options.flagCloseContactsDist = -1  # no red marks
    molecule = parse(smiles)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    return image.imread(io.BytesIO(canvas.GetDrawingText()), format="png")
