"""What the pocket world knows: real constants of chemistry, physics, biology and history.

Plain data. Rules that turn it into questions stand in `questions.py`.
"""

# (name, proton number, standard atomic weight rounded to the nearest integer); IUPAC abridged weights.
ELEMENTS: tuple[tuple[str, int, int], ...] = (
    ("lithium", 3, 7), ("beryllium", 4, 9), ("boron", 5, 11), ("carbon", 6, 12), ("nitrogen", 7, 14),
    ("oxygen", 8, 16), ("fluorine", 9, 19), ("neon", 10, 20), ("sodium", 11, 23), ("magnesium", 12, 24),
    ("aluminium", 13, 27), ("silicon", 14, 28), ("phosphorus", 15, 31), ("sulfur", 16, 32), ("chlorine", 17, 35),
    ("argon", 18, 40), ("potassium", 19, 39), ("calcium", 20, 40), ("scandium", 21, 45), ("titanium", 22, 48),
    ("vanadium", 23, 51), ("chromium", 24, 52), ("manganese", 25, 55), ("iron", 26, 56), ("cobalt", 27, 59),
    ("nickel", 28, 59), ("copper", 29, 64), ("zinc", 30, 65), ("gallium", 31, 70), ("germanium", 32, 73),
    ("arsenic", 33, 75), ("selenium", 34, 79), ("bromine", 35, 80), ("krypton", 36, 84), ("rubidium", 37, 85),
    ("strontium", 38, 88), ("yttrium", 39, 89), ("zirconium", 40, 91), ("niobium", 41, 93), ("molybdenum", 42, 96),
)  # fmt: skip

# Every element above has known nuclides at least this far on both sides of its rounded weight.
ISOTOPE_REACH = 3

# Cations by charge, and polyatomic anions by charge with the atoms of one ion.
CATIONS: dict[int, tuple[str, ...]] = {
    2: ("Mg", "Ca", "Sr", "Ba", "Zn", "Fe", "Cu", "Ni", "Co", "Mn", "Pb", "Cd", "Sn", "Cr"),
    3: ("Al", "Fe", "Cr", "Ga", "Bi", "Co", "Sc", "La", "In", "Y"),
    4: ("Ti", "Zr", "Sn", "Pb"),
}
ANIONS: dict[int, tuple[tuple[str, dict[str, int]], ...]] = {
    1: (
        ("OH", {"O": 1, "H": 1}), ("NO3", {"N": 1, "O": 3}), ("NO2", {"N": 1, "O": 2}), ("CN", {"C": 1, "N": 1}),
        ("ClO4", {"Cl": 1, "O": 4}), ("ClO3", {"Cl": 1, "O": 3}), ("ClO2", {"Cl": 1, "O": 2}),
        ("BrO3", {"Br": 1, "O": 3}), ("IO3", {"I": 1, "O": 3}), ("MnO4", {"Mn": 1, "O": 4}),
        ("HCO3", {"H": 1, "C": 1, "O": 3}), ("HSO4", {"H": 1, "S": 1, "O": 4}), ("H2PO4", {"H": 2, "P": 1, "O": 4}),
    ),
    2: (
        ("SO4", {"S": 1, "O": 4}), ("SO3", {"S": 1, "O": 3}), ("CO3", {"C": 1, "O": 3}), ("CrO4", {"Cr": 1, "O": 4}),
        ("C2O4", {"C": 2, "O": 4}), ("HPO4", {"H": 1, "P": 1, "O": 4}),
    ),
    3: (("PO4", {"P": 1, "O": 4}), ("AsO4", {"As": 1, "O": 4}), ("BO3", {"B": 1, "O": 3})),
}  # fmt: skip

# The standard genetic code, in the usual UCAG order of the three bases; "*" is a stop.
BASES = "UCAG"
AMINO_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
AMINO_ACID_NAMES = {
    "A": "Ala", "C": "Cys", "D": "Asp", "E": "Glu", "F": "Phe", "G": "Gly", "H": "His", "I": "Ile", "K": "Lys",
    "L": "Leu", "M": "Met", "N": "Asn", "P": "Pro", "Q": "Gln", "R": "Arg", "S": "Ser", "T": "Thr", "V": "Val",
    "W": "Trp", "Y": "Tyr",
}  # fmt: skip
GENETIC_CODE = {
    first + second + third: AMINO_ACIDS[16 * i + 4 * j + k]
    for i, first in enumerate(BASES)
    for j, second in enumerate(BASES)
    for k, third in enumerate(BASES)
}

# (from, to, factor, factor that a careless reader uses)
UNITS: tuple[tuple[str, str, int, int], ...] = (
    ("km", "m", 1000, 100), ("kg", "g", 1000, 100), ("m", "cm", 100, 10), ("l", "ml", 1000, 100),
    ("cm", "mm", 10, 100), ("t", "kg", 1000, 100), ("kJ", "J", 1000, 100), ("kW", "W", 1000, 100),
)  # fmt: skip

EVENTS: tuple[tuple[str, int], ...] = (
    ("the battle of Hastings", 1066), ("the sealing of Magna Carta", 1215), ("the fall of Baghdad", 1258),
    ("the fall of Acre", 1291), ("the battle of Bannockburn", 1314), ("the battle of Crecy", 1346),
    ("the battle of Poitiers", 1356), ("the battle of Agincourt", 1415), ("the fall of Constantinople", 1453),
    ("the battle of Bosworth", 1485), ("the fall of Granada", 1492), ("the treaty of Tordesillas", 1494),
    ("the voyage of Vasco da Gama", 1498), ("the theses of Luther", 1517), ("the diet of Worms", 1521),
    ("the battle of Mohacs", 1526), ("the sack of Rome", 1527), ("the act of Supremacy", 1534),
    ("the peace of Augsburg", 1555), ("the battle of Lepanto", 1571), ("the union of Utrecht", 1579),
    ("the defeat of the Armada", 1588), ("the edict of Nantes", 1598), ("the gunpowder plot", 1605),
    ("the founding of Jamestown", 1607), ("the start of the Thirty Years War", 1618),
    ("the voyage of the Mayflower", 1620), ("the peace of Westphalia", 1648), ("the execution of Charles I", 1649),
    ("the great fire of London", 1666), ("the siege of Vienna", 1683), ("the glorious revolution", 1688),
    ("the battle of the Boyne", 1690), ("the act of Union", 1707), ("the battle of Poltava", 1709),
    ("the peace of Utrecht", 1713), ("the battle of Culloden", 1746), ("the Lisbon earthquake", 1755),
    ("the battle of Plassey", 1757), ("the stamp act", 1765), ("the Boston tea party", 1773),
    ("the American declaration of independence", 1776), ("the battle of Yorktown", 1781),
    ("the storming of the Bastille", 1789), ("the execution of Louis XVI", 1793), ("the Louisiana purchase", 1803),
    ("the battle of Trafalgar", 1805), ("the battle of Austerlitz", 1805), ("the battle of Borodino", 1812),
    ("the battle of Leipzig", 1813), ("the battle of Waterloo", 1815), ("the independence of Brazil", 1822),
    ("the battle of Navarino", 1827), ("the great reform act", 1832), ("the treaty of Nanking", 1842),
    ("the communist manifesto", 1848), ("the great exhibition", 1851), ("the Crimean war", 1853),
    ("the Indian rebellion", 1857), ("the origin of species", 1859), ("the emancipation of the serfs", 1861),
    ("the battle of Gettysburg", 1863), ("the Meiji restoration", 1868), ("the opening of the Suez canal", 1869),
    ("the Paris commune", 1871), ("the Berlin conference", 1884), ("the first modern Olympics", 1896),
    ("the Boxer rebellion", 1900), ("the first flight of the Wrights", 1903), ("the sinking of the Titanic", 1912),
    ("the murder in Sarajevo", 1914), ("the battle of Verdun", 1916), ("the October revolution", 1917),
    ("the treaty of Versailles", 1919), ("the march on Rome", 1922), ("the crash of Wall Street", 1929),
    ("the long march", 1934), ("the Munich agreement", 1938), ("the invasion of Poland", 1939),
    ("the fall of France", 1940), ("the attack on Pearl Harbor", 1941), ("the landing in Normandy", 1944),
    ("the partition of India", 1947), ("the Berlin airlift", 1948), ("the Suez crisis", 1956),
    ("the launch of Sputnik", 1957), ("the Berlin wall", 1961), ("the Cuban missile crisis", 1962),
    ("the first moon landing", 1969), ("the fall of Saigon", 1975), ("the Chernobyl accident", 1986),
    ("the end of apartheid", 1994), ("the Kyoto protocol", 1997),
)  # fmt: skip
