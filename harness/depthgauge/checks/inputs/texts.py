"""Forty short texts, each of a kind of its own, and as many openings that break off: what any language model can read.

A text resembles those of its kind, so that eight of one kind say little more than one does: what counts is how many
kinds there are. All were written for this module. The events of the news are invented; what the science and the
mathematics state is true.
"""

from typing import NamedTuple


class Text(NamedTuple):
    """A text of one kind; a chat also has its turns, (role, content), for a model that has a chat template."""

    kind: str
    text: str
    turns: tuple[tuple[str, str], ...] = ()


# Each block begins with its kind. Lines are joined but where they are part of what is written.
PLAIN = r"""
# prose
The ferry left the island at dusk, half an hour late, with eleven passengers and a crate of hens. Marta stood at the
rail and watched the lighthouse shrink until it was no bigger than a match. She had spent nine summers there, and had
never once crossed the water alone. Behind her somebody laughed; a hen answered. She put her hand into her coat pocket
and found, where the ticket should have been, a small grey stone.
----
# dialogue
"Did you feed the cat?" asked Lena from the hallway.
"Twice," said Omar. "She told me that you hadn't."
"She tells everybody that. She told the postman."
"And what did he do?"
"He gave her his sandwich." Lena hung up her coat. "The whole sandwich, Omar. Ham and cheese."
"Then she can't be hungry now."
"Look at her. Does that look like a cat who has eaten?"
They both looked. The cat looked back at them, thin with sorrow, and sat down beside her bowl.
----
# script
Teacher: What happens to a puddle on a warm day?
Noor: It goes into the ground.
Teacher: Some of it does. And on a road, where it can't?
Ben: The sun drinks it!
Teacher: In a way. Where would the water be after that?
Noor: In the air. But I can't see it there.
Teacher: Can you see your own breath?
Ben: Only in winter.
Teacher: Good. So the water may be there although we can't see it. How could we find out?
Noor: With a cold window!
----
# word problem
Problem: A tank holds 240 litres. One pump fills it in 6 hours, another in 4 hours. How long do they need together?
Solution: The first pump gives 240 / 6 = 40 litres an hour, the second 240 / 4 = 60 litres an hour. Together they give
100 litres an hour. The tank is full after 240 / 100 = 2.4 hours, which is 2 hours and 24 minutes. Check: in 2.4 hours
the first pump gives 96 litres and the second 144, and 96 + 144 = 240.
----
# proof
Theorem. The square root of 2 is irrational. Proof. Suppose that $\sqrt{2} = p/q$, where p and q are whole numbers
without a common factor. Then $p^2 = 2q^2$, so $p^2$ is even, and hence p is even, say $p = 2r$. Substituting gives
$4r^2 = 2q^2$, that is $q^2 = 2r^2$, so q is even as well. Now both p and q are divisible by 2, which contradicts the
choice of p and q. Therefore no such fraction exists.
----
# science
The Moon always shows nearly the same face to the Earth, because it turns once on its axis in the time that it needs
for one orbit. This is no accident. Tides raised in the rock of the Moon by the pull of the Earth slowed its spin
until the two periods agreed. The same force still acts on our planet: the day grows longer by roughly two
thousandths of a second in a century, while the Moon recedes by almost four centimetres a year.
----
# news
A team of divers has recovered the bell of the merchant ship Aurelia, which sank off Cape Morrow in a storm in 1871.
The bronze bell, which weighs 38 kilograms, was found at a depth of sixty metres, half buried in sand. "We saw the
name at once," said the leader of the expedition, Paulo Reyes. The bell will be cleaned for several months before it
goes on display at the maritime museum in Port Selwyn next summer.
----
# sport
The Riverside Wolves reached the final of the Northern Cup on Saturday after a dramatic victory over Eastgate United.
Trailing by two goals at half time, the home side scored three times in the last twenty minutes. Substitute Kofi
Adjei headed the winner in the final minute of play, to the delight of 14,000 spectators. Coach Helen Brandt praised
the patience of her team. The final against Granton City will be played on 9 June.
----
# business
Shares in the battery maker Voltara fell by almost a tenth on Monday after the company lowered its forecast for the
year. Demand from makers of electric bicycles had been weaker than expected, the company said, and a new plant in
Lindau would open six months later than planned. Analysts had expected a smaller correction. The chief executive,
Mr Tanaka, told reporters that orders for the second half of the year were already improving.
----
# law
The tenant shall keep the rooms clean and in good repair, and shall not alter them without the written consent of the
landlord. The rent is due on the third working day of each month. Either party may end this agreement by giving notice
of three months, in writing. Should a clause of this agreement be void, the others remain in force, and the parties
shall replace it by one that comes as near as possible to what was intended.
----
# poem
The kettle sings, the window streams,
The cat has left her chair;
A train goes over distant beams
And nobody is there.
The lamp across the street is lit,
A letter on the floor;
I know the hand, I turn from it,
I hear you at the door.
The kettle stops. The street is wet.
You put your umbrella down.
We have not said a word as yet,
And evening fills the town.
----
# diary
Tuesday. Slept badly, got up at five, did not write a line. The boiler is out again and the man comes on Friday, or so
he says. Walked to the allotment at noon: beans up, lettuce gone (slugs!!). Phoned Ruth, who is better. Must remember
the forms for the bank, and M.'s birthday. Supper: eggs. Read forty pages of the Russian and liked nobody in it but the
horse. To bed at ten, rain on the roof, quite happy really.
----
# encyclopedia
Eleonora Vantini (12 May 1871 - 3 October 1949) was a botanist and illustrator. Born in Port Lusk as the daughter of a
harbour pilot, she studied at the academy of Carrow and was the first woman to teach there. Her chief work, Mosses of
the Northern Coast (four volumes, 1902-1911), describes 318 species, of which 27 were then unknown. A genus of mosses
and a street in her home town bear her name.
----
# recipe
Lentil soup. Serves 4. Ready in 40 min.
- 250 g red lentils
- 1 onion, 2 carrots, 2 cloves of garlic
- 1 tbsp oil, 1 tsp cumin, salt
- 1.2 l vegetable stock
- juice of half a lemon
1. Chop the vegetables and fry them gently in the oil for 5 min.
2. Add the cumin and the lentils, and stir for 1 min.
3. Pour in the stock, bring to the boil, and simmer for 25 min.
4. Blend half of it, season, and add the lemon juice just before serving.
----
# table
station,opened,platforms,passengers_2023,lift
Alder Junction,1862,4,1204511,yes
Birch Hill,1901,2,88230,no
Carrow Central,1847,11,9377042,yes
Dunmore Airport,1984,3,2650118,yes
Eastgate,1911,2,310774,no
Fenwick Road,1926,1,45090,no
Granton City,1855,8,5120336,yes
Halverton Harbour,1879,2,201968,no
Lindau Mill,1933,1,17402,no
Port Lusk,1868,3,642905,yes
----
# log
2024-05-02 04:11:07 INFO  backup: started, 3 volumes
2024-05-02 04:11:09 INFO  backup: volume /home, 18.2 GB to copy
2024-05-02 04:26:51 WARN  disk sdb: 2 sectors reallocated
2024-05-02 04:31:40 INFO  backup: volume /home done in 1231 s
2024-05-02 04:31:41 INFO  backup: volume /var, 3.4 GB to copy
2024-05-02 04:32:05 ERROR backup: /var/lib/queue/77.lock: permission denied
2024-05-02 04:32:05 INFO  backup: retry 1 of 3 in 60 s
----
# advertisement
FOR SALE: sailing dinghy, 4.2 m, built 1996, two owners. Hull sound, new mainsail last year, jib a bit tired. Comes with
a trailer, a cover and two life jackets (adult M, child). Always kept indoors in winter. Selling because of a bad back,
not because of the boat. 1,150 or nearest offer; no swaps, please. Can be seen at Port Selwyn any evening after six or
at the weekend. Ask for Nils at the chandler's.
----
# speech
Friends, neighbours, members of the choir: forty years ago eleven of us stood in this very hall, in our coats, because
the heating had failed, and we sang as if somebody were listening. Nobody was. Tonight I look at you and I count three
hundred. What has changed? Not the heating! What has changed is that we never once asked who was good enough. We asked
who would come again next week. And you came. You came again.
----
# minutes
Minutes of the meeting of 14 November. Present: Ms Okafor (chair), Mr Lind, Dr Shah, Ms Petrov. Apologies: Mr Reyes.
1. The minutes of 10 October were approved. 2. Roof: Mr Lind reported that two offers are in; a third is expected by the
end of the month. 3. Budget: the deficit is 2,300 and will be met from reserves (agreed, one abstention). 4. Any other
business: none. Next meeting: 12 December, 18:30, room 4. Action: Dr Shah to write to the council.
----
# rules
The game is for two to four players and takes half an hour. Shuffle the cards and deal seven to each player; the rest
form the stock, face down. The player to the left of the dealer begins. In your turn, draw one card, then lay down one
of the same suit or of the same number as the top card of the pile. If you cannot, you must draw again and pass. A seven
makes the next player miss a turn. Whoever first has no cards left wins the round and scores ten.
"""
IN_LINES = ("dialogue", "script", "poem", "recipe", "table", "log")

CODE_KINDS = ("python", "javascript", "c", "sql", "rust", "shell", "java", "go")
CODE = r'''
def running_mean(values, width):
    """Return the mean of each window of the given width."""
    if width < 1:
        raise ValueError("width must be positive")
    means = []
    total = 0.0
    for index, value in enumerate(values):
        total += value
        if index >= width:
            total -= values[index - width]
        if index >= width - 1:
            means.append(total / width)
    return means


print(running_mean([1, 2, 3, 4, 5], 2))
----
// Groups words by their first letter and prints the groups in order.
function groupByLetter(words) {
  const groups = new Map();
  for (const word of words) {
    const letter = word[0].toLowerCase();
    if (!groups.has(letter)) {
      groups.set(letter, []);
    }
    groups.get(letter).push(word);
  }
  return groups;
}

const groups = groupByLetter(["apple", "bear", "Ant", "bell"]);
for (const [letter, members] of [...groups].sort()) {
  console.log(`${letter}: ${members.join(", ")}`);
}
----
#include <stdio.h>

/* Reverse a string in place and return its length. */
static size_t reverse(char *text) {
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    for (size_t i = 0; i < length / 2; i++) {
        char saved = text[i];
        text[i] = text[length - 1 - i];
        text[length - 1 - i] = saved;
    }
    return length;
}

int main(void) {
    char word[] = "lantern";
    size_t length = reverse(word);
    printf("%s has %zu letters\n", word, length);
    return 0;
}
----
CREATE TABLE loans (
    id INTEGER PRIMARY KEY,
    reader TEXT NOT NULL,
    title TEXT NOT NULL,
    due DATE NOT NULL,
    returned DATE
);

-- Readers with more than two overdue books, worst first.
SELECT reader, COUNT(*) AS overdue, MIN(due) AS oldest
FROM loans
WHERE returned IS NULL
  AND due < CURRENT_DATE
GROUP BY reader
HAVING COUNT(*) > 2
ORDER BY overdue DESC, reader;
----
use std::collections::HashMap;

/// Count how often each word occurs, ignoring case.
fn count_words(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    counts
}

fn main() {
    let counts = count_words("the cat saw The dog");
    let mut words: Vec<_> = counts.iter().collect();
    words.sort();
    for (word, count) in words {
        println!("{word}: {count}");
    }
}
----
#!/bin/sh
# Pack every log that is older than a week, then list what is left.
set -eu

folder="${1:-/var/log/shop}"
if [ ! -d "$folder" ]; then
    echo "no such folder: $folder" >&2
    exit 1
fi

find "$folder" -name '*.log' -mtime +7 | while read -r file; do
    gzip -9 "$file"
    echo "packed $file"
done

ls -lh "$folder" | tail -n 5
----
public class Account {
    private final String owner;
    private long cents;

    public Account(String owner) {
        this.owner = owner;
    }

    public void deposit(long amount) {
        if (amount <= 0) {
            throw new IllegalArgumentException("amount must be positive");
        }
        cents += amount;
    }

    public boolean withdraw(long amount) {
        if (amount <= 0 || amount > cents) {
            return false;
        }
        cents -= amount;
        return true;
    }
}
----
package main

import (
	"fmt"
	"strings"
)

// isPalindrome reports whether the letters read the same both ways.
func isPalindrome(text string) bool {
	letters := []rune(strings.ToLower(text))
	for i, j := 0, len(letters)-1; i < j; i, j = i+1, j-1 {
		if letters[i] != letters[j] {
			return false
		}
	}
	return true
}

func main() {
	for _, word := range []string{"Level", "garden", "noon"} {
		fmt.Println(word, isPalindrome(word))
	}
}
'''

CHAT_KINDS = ("chat: how to", "chat: a letter", "chat: grammar", "chat: advice")
INSTRUCTIONS: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("user", "How do I boil an egg so that the yolk stays soft?"),
        (
            "assistant",
            "Bring a small pot of water to the boil and lower the egg into it with a spoon. Let it cook for six "
            "minutes; a large egg straight from the refrigerator needs about seven. Then take it out and hold it under "
            "cold running water for a minute, so that it stops cooking. Crack the shell all around, peel it under the "
            "water, and serve it at once with a pinch of salt.",
        ),
    ),
    (
        ("user", "Write a polite note to my neighbour. His dog barks at night and I can't sleep."),
        (
            "assistant",
            "Dear neighbour,\n\nI hope you are well. I am writing because your dog has been barking at night lately, "
            "mostly between one and three o'clock, and I have had trouble sleeping. Perhaps you are not aware of it. "
            "Could he spend the night on the other side of the house? I would be very grateful, and I am glad to talk "
            "about it over a cup of coffee.\n\nKind regards",
        ),
    ),
    (
        ("user", "Correct this sentence: Him and me goes to school by the bus."),
        (
            "assistant",
            'The correct sentence is: "He and I go to school by bus." The subject must be "he and I", not "him and '
            'me". Because there are two people, the verb is "go". And we say "by bus" without an article when we '
            "mean the way of travelling.",
        ),
        ("user", "Thanks! Can I also say: We go to school by bus?"),
        ("assistant", "Yes. That is correct too, and it is shorter."),
    ),
    (
        ("user", "Give me three tips for learning the vocabulary of a foreign language."),
        (
            "assistant",
            "First, learn a little every day instead of a lot on Sunday: ten new words are enough. Second, test "
            "yourself instead of reading the list again. Cover the translation, say the word aloud, and only then "
            "look. Third, put each word into a short sentence about your own life. You will remember the word for "
            "kettle more easily if the kettle is yours.",
        ),
    ),
)

LANGUAGE_KINDS = ("German", "French", "Spanish", "Italian", "Portuguese", "Dutch", "Polish", "Russian")
LANGUAGES = """
Am frühen Morgen lag noch Nebel über dem Fluss, und die Boote am Ufer waren kaum zu erkennen. Der alte Fischer band
sein Seil los, prüfte den Wind und setzte sich auf die nasse Bank. Seit vierzig Jahren fuhr er um diese Zeit hinaus.
Heute aber wartete er, denn seine Enkelin wollte zum ersten Mal mitkommen. Sie kam gelaufen, mit einer viel zu großen
Jacke und einem Korb voller Brote.

La bibliothèque du village se trouve au premier étage de la mairie, juste au-dessus de la salle des mariages. Le
samedi, quand on célèbre une noce, les lecteurs entendent la musique et tournent les pages un peu plus vite. Madame
Girard, qui range les livres depuis vingt ans, prétend que les romans d'amour sortent mieux ces jours-là. Elle garde
toujours une chaise libre près de la fenêtre.

El mercado abre a las siete, pero los vendedores llegan mucho antes para preparar sus puestos. Primero colocan las
naranjas, después los tomates y al final las hierbas, que necesitan sombra. Un niño barre el suelo mientras su abuelo
escribe los precios con tiza. A mediodía hace tanto calor que casi nadie compra, y los perros duermen debajo de las
mesas hasta que vuelve la brisa.

Il treno per la costa parte ogni ora dal binario tre e impiega circa quaranta minuti. Dalla finestra si vedono prima le
fabbriche, poi gli orti e infine il mare. In estate i vagoni sono pieni di ragazzi con gli asciugamani sulle spalle; in
inverno viaggiano soltanto i pescatori e qualche maestra. Mia zia dice che il mare è più bello a gennaio, quando non
lo guarda nessuno.

A casa da minha avó fica no alto da serra, longe da estrada. Para chegar lá é preciso atravessar uma ponte de madeira e
subir durante meia hora entre os pinheiros. No inverno ela acende o forno e faz pão de milho para toda a família. À
noite sentamo-nos à volta do fogo, e o meu avô conta sempre a mesma história, mas nunca com o mesmo fim.

In de winter staat het water in de sloot achter ons huis hoog. Als het een week vriest, halen we de schaatsen van
zolder en kijken we elke ochtend of het ijs al dik genoeg is. Mijn vader gaat altijd als eerste, met een touw om zijn
middel, terwijl mijn moeder het andere eind vasthoudt. Pas daarna mogen de kinderen. Na afloop drinken we warme
chocolademelk.

Na rynku w naszym mieście stoi stary zegar, który od lat spóźnia się o pięć minut. Nikt go nie naprawia, bo wszyscy
już się przyzwyczaili. Piekarz otwiera sklep według zegara, a dzieci idą do szkoły trochę później. Tylko turyści
biegną na pociąg i nie rozumieją, dlaczego odjechał.

Каждое утро почтальон едет на велосипеде через всю деревню. Он знает, кто ждёт письма от сына, а кто получает только
газеты. Собаки его любят и не лают. Зимой, когда дорога под снегом, он идёт пешком и приходит позже.
"""

OPENINGS = r"""
prose: The old woman unlocked the gate, looked back at the house, and
dialogue: "Where have you been all day?" asked his mother. "I was at
script: Waiter: Are you ready to order? Guest: Yes, I would like
word problem: A train that travels 60 kilometres in an hour needs two hours to travel
proof: Let n be an odd number. Then n can be written as 2k + 1, so n squared is
science: When water is heated to one hundred degrees Celsius at sea level, it begins to
news: LONDON, Monday - The prime minister announced today that the government will
sport: The home team won by three goals to one, and its captain said after the match that
business: The company said on Friday that it would close two factories and
law: The seller shall deliver the goods within thirty days, unless the buyer
poem: Roses are red, violets are blue, the river is cold and
diary: Sunday. Woke up late, made coffee, and spent the whole morning
encyclopedia: Isaac Newton (1642 - 1727) was an English mathematician and physicist who
recipe: Mix the flour and the sugar in a large bowl, add two eggs, and
table: country,capital,continent\nFrance,Paris,Europe\nJapan,Tokyo,Asia\nEgypt,Cairo,Africa\nPeru,
log: 2024-01-07 10:15:02 INFO server: started on port 8080, waiting for
advertisement: FOR SALE: one red bicycle, hardly used, with a basket and
speech: My fellow citizens, we have come together on this day to
minutes: Minutes of the meeting of 3 March. Present: Mr Hill (chair), Ms Wood, and
rules: Each player is dealt five cards. The youngest player begins, and then
letter: Dear Sir or Madam, I am writing to complain about the
instruction: Before you change a light bulb, make sure that
chat: User: Name three animals that live in the sea. Assistant: Three animals that live in the sea are
weather: Heavy rain is expected in the north of the country tomorrow, while the south
German: Gestern Abend gingen wir mit den Kindern in den Park, weil
French: Tous les matins, mon père achète du pain et le journal avant de
Spanish: La ciudad más grande de España es Madrid, que también es
Italian: Domani andiamo al mare con gli amici, perché
Portuguese: O Brasil é o maior país da América do Sul, e a sua capital é
Dutch: Amsterdam is de hoofdstad van Nederland en staat bekend om
Polish: Warszawa jest stolicą Polski i leży nad
Russian: Москва является столицей России, и в ней живёт
"""

CODE_OPENING_KINDS = ("python", "javascript", "sql", "numpy", "c", "rust", "class", "html")
CODE_OPENINGS = '''
def is_even(number):
    # True where two divides the number
    return number %
----
for (let i = 0; i < items.length; i++) {
  console.log(
----
SELECT name, price FROM products WHERE price > 100 ORDER BY
----
import numpy as np

def normalise(vector):
    """Return the vector divided by its length."""
    return
----
int max(int a, int b) {
    if (a > b) {
        return
----
fn square(x: i32) -> i32 {
    x *
----
class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.
----
<p>My shopping list:</p>
<ul>
  <li>Apples</li>
  <li>Pears</li>
  <li>
'''


def texts() -> tuple[Text, ...]:
    """All texts, one of each kind."""
    plain = tuple(_of_kind(block) for block in PLAIN.strip().split("\n----\n"))
    code = tuple(map(Text, CODE_KINDS, (code.strip("\n") for code in CODE.split("\n----\n"))))
    chats = tuple(Text(kind, _transcript(turns), turns) for kind, turns in zip(CHAT_KINDS, INSTRUCTIONS, strict=True))
    return (*plain, *code, *chats, *map(Text, LANGUAGE_KINDS, _paragraphs(LANGUAGES)))


def openings() -> tuple[tuple[str, str], ...]:
    """The beginnings of other texts, each of a kind of its own and after it, that break off within a sentence."""
    lines = (line.partition(": ") for line in OPENINGS.strip().splitlines())
    plain = ((kind, text.replace("\\n", "\n")) for kind, _, text in lines)
    code = (code.strip("\n") for code in CODE_OPENINGS.split("\n----\n"))
    return (*plain, *zip(CODE_OPENING_KINDS, code, strict=True))


def _of_kind(block: str) -> Text:
    """A block of `PLAIN`: '# KIND' and the text."""
    head, _, text = block.partition("\n")
    kind = head.removeprefix("# ")
    return Text(kind, text if kind in IN_LINES else " ".join(text.split()))


def _transcript(turns: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"{role.capitalize()}: {content}" for role, content in turns)


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(block.split()) for block in text.strip().split("\n\n"))
