"""Compounds with their formulae: salts made by rule from ions, and small molecules with their state at 20 degrees."""

import re
from collections import Counter
from functools import cache
from itertools import product
from math import gcd
from typing import NamedTuple

from depthgauge_testbeds.smollm2.elements import elements

CATIONS = {
    "lithium": ("Li", 1), "sodium": ("Na", 1), "potassium": ("K", 1), "silver": ("Ag", 1), "rubidium": ("Rb", 1),
    "magnesium": ("Mg", 2), "calcium": ("Ca", 2), "barium": ("Ba", 2), "zinc": ("Zn", 2), "strontium": ("Sr", 2),
    "aluminum": ("Al", 3), "cadmium": ("Cd", 2),
}  # fmt: skip
ANIONS = {
    "fluoride": ("F", 1), "chloride": ("Cl", 1), "bromide": ("Br", 1), "iodide": ("I", 1), "oxide": ("O", 2),
    "sulfide": ("S", 2), "hydroxide": ("OH", 1), "nitrate": ("NO3", 1), "sulfate": ("SO4", 2), "carbonate": ("CO3", 2),
    "phosphate": ("PO4", 3),
}  # fmt: skip
NONEXISTENT = {"silver hydroxide", "aluminum carbonate"}
MOLECULES = """
gas: methane CH4, ethane C2H6, propane C3H8, butane C4H10, ethylene C2H4, acetylene C2H2, propylene C3H6, ammonia NH3,
carbon dioxide CO2, carbon monoxide CO, nitric oxide NO, nitrogen dioxide NO2, nitrous oxide N2O, sulfur dioxide SO2,
hydrogen sulfide H2S, hydrogen chloride HCl, hydrogen bromide HBr, formaldehyde CH2O, phosphine PH3, silane SiH4,
boron trifluoride BF3, sulfur hexafluoride SF6, carbonyl sulfide COS, dimethyl ether C2H6O
liquid: water H2O, ethanol C2H6O, methanol CH4O, acetone C3H6O, benzene C6H6, toluene C7H8, hexane C6H14, octane C8H18,
pentane C5H12, heptane C7H16, cyclohexane C6H12, acetic acid C2H4O2, formic acid CH2O2, sulfuric acid H2SO4,
nitric acid HNO3, chloroform CHCl3, carbon tetrachloride CCl4, carbon disulfide CS2, hydrogen peroxide H2O2,
glycerol C3H8O3, aniline C6H7N, diethyl ether C4H10O, ethylene glycol C2H6O2, isopropanol C3H8O
solid: glucose C6H12O6, fructose C6H12O6, sucrose C12H22O11, urea CH4N2O, naphthalene C10H8, silicon dioxide SiO2,
silicon carbide SiC, citric acid C6H8O7, boric acid H3BO3, aspirin C9H8O4, caffeine C8H10N4O2, anthracene C14H10,
benzoic acid C7H6O2, phosphorus pentoxide P2O5, ammonium chloride NH4Cl, ammonium nitrate NH4NO3, oxalic acid C2H2O4,
vanillin C8H8O3, menthol C10H20O, boron nitride BN, camphor C10H16O, glycine C2H5NO2
"""
ATOMS = re.compile(r"([A-Z][a-z]?)(\d*)")
BRACKET = re.compile(r"\((\w+)\)(\d*)")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


class Compound(NamedTuple):
    """`element` is the metal of a salt, '' in a molecule; `state` is '' where it was not looked up."""

    name: str
    formula: str
    element: str = ""
    state: str = ""


@cache
def compounds() -> tuple[Compound, ...]:
    return (*salts(), *molecules())


def salts() -> tuple[Compound, ...]:
    """Every cation with every anion, each as often as charges cancel."""
    made = []
    for (metal, cation), (ending, anion) in product(CATIONS.items(), ANIONS.items()):
        name = f"{metal} {ending}"
        if name not in NONEXISTENT:
            made.append(Compound(name, salt_formula(*cation, *anion), metal, "solid"))
    return tuple(made)


def salt_formula(cation: str, charge: int, anion: str, anion_charge: int) -> str:
    """In the smallest whole numbers, with a bracket round an ion of several atoms that is there more than once."""
    shared = gcd(charge, anion_charge)
    metals, others = anion_charge // shared, charge // shared
    bracketed = f"({anion})" if others > 1 and sum(map(str.isupper, anion)) > 1 else anion
    return f"{cation}{metals if metals > 1 else ''}{bracketed}{others if others > 1 else ''}"


def molecules() -> tuple[Compound, ...]:
    made = []
    for paragraph in re.split(r"\n(?=\w+:)", MOLECULES.strip()):
        state, _, listed = paragraph.partition(":")
        for molecule in listed.split(","):
            name, _, formula = molecule.strip().rpartition(" ")
            made.append(Compound(name.strip(), formula, "", state))
    return tuple(made)


def composition(formula: str) -> Counter[str] | None:
    """Atoms by element, however they are grouped: CH3OH is CH4O. None for what is no formula of known elements."""
    flat = BRACKET.sub(lambda part: part[1] * int(part[2] or 1), formula.translate(SUBSCRIPTS))
    groups = ATOMS.findall(flat)
    if not groups or ATOMS.sub("", flat) or not symbols().issuperset(symbol for symbol, _ in groups):
        return None
    atoms: Counter[str] = Counter()
    for symbol, count in groups:
        atoms[symbol] += int(count or 1)
    return atoms


@cache
def symbols() -> frozenset[str]:
    return frozenset(element.symbol for element in elements())
