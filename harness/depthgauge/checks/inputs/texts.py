"""Sixty-four short texts of eight kinds, and as many openings that break off: what any language model can read.

All were written for this module. The events of the news are invented; what the science, the mathematics and the
instructions state is true.
"""

from typing import NamedTuple


class Text(NamedTuple):
    """A text of one kind; an instruction also has its turns, (role, content), for a model that has a chat template."""

    kind: str
    text: str
    turns: tuple[tuple[str, str], ...] = ()


PROSE = """
The ferry left the island at dusk, half an hour late, with eleven passengers and a crate of hens. Marta stood at the
rail and watched the lighthouse shrink until it was no bigger than a match. She had spent nine summers there, and had
never once crossed the water alone. Behind her somebody laughed; a hen answered. She put her hand into her coat pocket
and found, where the ticket should have been, a small grey stone.

Every Thursday the old clockmaker closed his shop at noon, locked the door twice, and walked to the edge of town with
a bag of stale bread. The ducks knew him by his limp. He never spoke to them, for he believed that a man who talks to
animals will soon expect an answer. Yet when the pond froze in January he came all the same, and stood there
for an hour, looking at the empty ice.

My grandmother's kitchen had two doors: one to the garden, which was always open, and one to the cellar, which was
not. As children we were told that the cellar held potatoes and nothing else. We believed this for years, until my
cousin Ruben, who was braver than the rest of us, borrowed the key during a wedding. He came back pale and silent.
There were, he said at last, far too many potatoes.

Rain had been falling on the railway yard since morning. It ran down the windows of the signal box and turned the
cinders between the tracks to black paste. Inside, Ismail wound the clock, filled the kettle, and wrote the time of
the last train in a column of neat figures. In thirty years he had made four mistakes, and he remembered each of them
better than the birthdays of his sons.

Nobody could say who had planted the pear tree in the school yard. It leaned a little toward the street, as if it
wanted to read the names of the shops. In good years the fruit was hard and sour, and the pupils threw it at one
another; in bad years there was none. When the headmistress ordered it cut down, the whole town, which had never
cared for the tree, signed a letter against her.

The map that Julien had bought at the market showed a lake where there was only a field of barley. He checked the
scale, the compass rose, the names of the villages; all the rest was right. A farmer on a bicycle stopped to look over
his shoulder. The lake, she explained, had been drained before her mother was born, but in wet springs the swans
still circled above the barley, calling, and would not land.

At the bottom of the trunk, under the tablecloths and the yellow newspapers, lay a violin without strings. Dana lifted
it out and shook it. Something slid and rattled inside the body, light as a bean. She held the instrument to the lamp
and peered through the curved opening, but saw only dust. That night she dreamt of a tune which she had never heard,
and in the morning she could hum it from beginning to end.

They had agreed to meet at the fountain at five, but there were two fountains in the square, one at each end, and each
of them waited faithfully at the wrong one. Pigeons came and went. A boy sold paper windmills. At six they both gave
up, walked home by the same street on opposite sides, and did not see each other for the crowd. It was, they decided
years later, their first evening together.
"""

DIALOGUE = """
"Did you feed the cat?" asked Lena from the hallway.
"Twice," said Omar. "She told me that you hadn't."
"She tells everybody that. She told the postman."
"And what did he do?"
"He gave her his sandwich." Lena hung up her coat. "The whole sandwich, Omar. Ham and cheese."
"Then she can't be hungry now."
"Look at her. Does that look like a cat who has eaten?"
They both looked. The cat looked back at them, thin with sorrow, and sat down beside her bowl.

"One ticket to Brookfield, please."
"Single or return?"
"That depends. When does the last train come back?"
"Ten past nine. But on Sundays it doesn't run."
"And what day is it today?"
The clerk leaned forward and studied her through the glass. "It's Sunday, madam."
"Then a single, I suppose."
"There is a bus at eight in the morning," he said more kindly, "and my sister rents out rooms. Clean ones. Tell her
that Edmund sent you, and she'll leave the light on."

Captain: How much water is left?
Mate: Four barrels, sir, and one of those leaks.
Captain: And how far is it to the nearest port?
Mate: Six days with this wind. Three with a better one.
Captain: Then we will drink as if it were eight. Half a cup at dawn and half at dusk, for everyone.
Mate: For the officers too, sir?
Captain: For the officers first. Let the men see us do it.
Mate: They will want to know about the leak.
Captain: Put a bucket under it, and tell them.

"I can't find the mistake," said Priya. "The totals don't agree, and I have added them three times."
"Read me the last column," said her father.
"Forty, sixteen, nine, one hundred and twelve."
"Stop there. What does the receipt say?"
She shuffled the papers. "One hundred and twenty-one. Oh."
"You swapped two digits. When the difference can be divided by nine, look for that first."
"Is it always nine?"
"Always. Try it with any two digits you like."

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

"You're late," said the guard, without looking up.
"The bridge is closed," Tomas answered. "I had to walk round by the mill."
"The bridge was closed yesterday as well, and you were early."
"Yesterday I had a bicycle."
"Where is it now?"
"In the river, under the bridge."
The guard put down his pen. For the first time that week something like interest crossed his face. "Sit," he said,
pushing a chair forward with his foot. "Begin with the bicycle."

"Doctor, it hurts when I climb the stairs."
"Which knee is it?"
"The left one. It began after the race in May."
"Do you feel pain when you sit as well, or only when you move?"
"Mostly when I move. And on the first steps in the morning."
"Is it swollen? May I see? No, that looks fine. I'd like you to rest from running for three weeks."
"Three weeks? May I swim?"
"You may swim as much as you like."

"What would you have done in my place?" asked the king.
"I would have paid the miller," said the fool, "because he was right."
"He insulted me before the whole court."
"He did. But the flour was good, and the bill was fair."
"A king can't let himself be shouted at."
"Then let him pay quickly, sire, and there will be no time for shouting."
The king was silent for a while. "How much was it?"
"Eleven silver pieces. Twelve, if you include the window."
"""

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

MATHEMATICS = r"""
A whole number is divisible by nine exactly when the sum of its digits is. To see why, note that 10, 100, 1000 and
every other power of ten leave the remainder 1 when divided by 9. Replacing each power by 1 therefore does not change
the remainder of the number, and what remains is the sum of the digits. For example, 4572 has the digit sum
4 + 5 + 7 + 2 = 18, so 4572 is divisible by 9; indeed 4572 = 9 * 508.

Problem: A tank holds 240 litres. One pump fills it in 6 hours, another in 4 hours. How long do they need together?
Solution: The first pump gives 240 / 6 = 40 litres an hour, the second 240 / 4 = 60 litres an hour. Together they give
100 litres an hour. The tank is full after 240 / 100 = 2.4 hours, which is 2 hours and 24 minutes. Check: in 2.4 hours
the first pump gives 96 litres and the second 144, and 96 + 144 = 240.

Theorem. The square root of 2 is irrational. Proof. Suppose that $\sqrt{2} = p/q$, where p and q are whole numbers
without a common factor. Then $p^2 = 2q^2$, so $p^2$ is even, and hence p is even, say $p = 2r$. Substituting gives
$4r^2 = 2q^2$, that is $q^2 = 2r^2$, so q is even as well. Now both p and q are divisible by 2, which contradicts the
choice of p and q. Therefore no such fraction exists.

To solve the equation x^2 - 5x + 6 = 0, look for two numbers whose sum is 5 and whose product is 6. The numbers 2 and
3 will do, so the left side is (x - 2)(x - 3). A product is zero only if one of its factors is zero. Hence x = 2 or
x = 3. We can check both: 4 - 10 + 6 = 0 and 9 - 15 + 6 = 0. The parabola y = x^2 - 5x + 6 crosses the horizontal axis
at these two points, and its lowest point lies halfway between them, at x = 2.5.

Two fair dice are thrown. What is the probability that the sum is 7? There are 6 * 6 = 36 equally likely outcomes. The
sum is 7 for the pairs (1, 6), (2, 5), (3, 4), (4, 3), (5, 2) and (6, 1), which makes six outcomes. So the probability
is 6/36 = 1/6. No other sum is as likely: a sum of 6 or of 8 can be reached in five ways only, and a sum of 2 or of
12 in a single way.

The derivative of a function measures how fast its value changes. For f(x) = x^2 the difference quotient is
((x + h)^2 - x^2) / h = (2xh + h^2) / h = 2x + h. As h tends to zero this tends to 2x, so f'(x) = 2x. At x = 3 the
slope is 6, and the tangent line there is y = 9 + 6(x - 3) = 6x - 9. In the same way one finds that the derivative of
x^3 is 3x^2, and in general that the derivative of x^n is n times x^(n - 1).

How many handshakes are there if each of ten people shakes hands with every other one? Each person shakes nine hands,
which seems to give 10 * 9 = 90. But in this way each handshake is counted twice, once for either person, so the
true number is 45. In general n people exchange n(n - 1)/2 handshakes. This is also the sum 1 + 2 + ... + (n - 1): the
second person to arrive shakes one hand, the third two hands, and so forth.

Let a right triangle have legs of length 5 and 12. By the theorem of Pythagoras the square of the hypotenuse is
25 + 144 = 169, so the hypotenuse is 13. The area is half the product of the legs, 5 * 12 / 2 = 30. The altitude on
the hypotenuse follows from the area: 13 * h / 2 = 30 gives h = 60/13, about 4.6. Finally, the radius of the inscribed
circle is the area divided by half the perimeter, 30 / 15 = 2.
"""

SCIENCE = """
Water is unusual in that its solid form is lighter than its liquid. In ice the molecules are held in an open lattice
by hydrogen bonds, which keeps them farther apart than in cold water. A lake therefore freezes from the top, and the
ice shields the water below from the cold air. Water is densest at about four degrees Celsius, so in winter the
bottom of a deep lake stays near that temperature, and fish can survive there until spring.

Plants make sugar from carbon dioxide and water with the energy of light. The reactions take place in chloroplasts,
whose green pigment, chlorophyll, absorbs red and blue light best and reflects much of the green. In a first step
water is split and oxygen is released; in a second the energy that was stored is used to build sugar. Nearly all food
chains on land and in the sea begin with this process, and so does most of the oxygen in the air.

The Moon always shows nearly the same face to the Earth, because it turns once on its axis in the time that it needs
for one orbit. This is no accident. Tides raised in the rock of the Moon by the pull of the Earth slowed its spin
until the two periods agreed. The same force still acts on our planet: the day grows longer by roughly two
thousandths of a second in a century, while the Moon recedes by almost four centimetres a year.

An electric current in a wire is a slow drift of electrons. In a household cable they advance by less than a
millimetre in a second, far slower than a snail. Yet a lamp lights up at once when the switch is closed, since the
electric field that pushes the electrons spreads along the wire at a speed close to that of light. The wire
is full of electrons everywhere, and all of them begin to move at nearly the same moment.

Bacteria can become resistant to an antibiotic when a chance mutation lets a few of them survive the treatment.
The survivors multiply, and their descendants inherit the useful change. Many bacteria also carry small rings of DNA,
called plasmids, which they can pass on even to other species. For this reason doctors advise against antibiotics for
colds: most colds are caused by viruses, on which these drugs have no effect, while the bacteria in the body are
exposed to them all the same.

The crust of the Earth is broken into plates that move by a few centimetres a year, about as fast as fingernails
grow. Where two plates drift apart, molten rock rises and forms new ocean floor. Where they meet, one may sink below
the other, and deep trenches and chains of volcanoes appear. The Himalaya rose when the plate that carries India ran
into Asia. Most strong earthquakes occur along such boundaries, where stress builds up for decades and is released
within a minute.

Sound is a wave of pressure that travels through matter. In air at room temperature it covers about 340 metres in a
second, in water more than four times as much, and in steel faster still, because stiffer materials pass the push on
more quickly. In empty space there is no sound at all. To estimate the distance of a thunderstorm, count the seconds
between the flash and the thunder and divide by three: the result is roughly the distance in kilometres.

A honeybee that has found flowers tells the others where they are by dancing on the comb. The dancer runs straight
ahead while shaking her body, circles back, and repeats the run. The angle of the run to the vertical equals the angle
between the flowers and the sun, and its duration grows with the distance. Followers in the dark hive touch the dancer
and learn the direction by feeling. They also taste the nectar that she brought, and so know which blossom to
look for.
"""

NEWS = """
HALVERTON, 3 March - The city council voted on Tuesday to reopen the old tram line along the harbour, eleven years
after the last car was taken out of service. The plan, which passed by nineteen votes to eight, will cost about 42
million crowns and is to be finished within three years. Mayor Ingrid Solvang called it "a gift to everyone who has
ever waited for a bus in the rain". Owners of shops on Quay Street fear for their parking spaces.

A team of divers has recovered the bell of the merchant ship Aurelia, which sank off Cape Morrow in a storm in 1871.
The bronze bell, which weighs 38 kilograms, was found at a depth of sixty metres, half buried in sand. "We saw the
name at once," said the leader of the expedition, Paulo Reyes. The bell will be cleaned for several months before it
goes on display at the maritime museum in Port Selwyn next summer.

The Riverside Wolves reached the final of the Northern Cup on Saturday after a dramatic victory over Eastgate United.
Trailing by two goals at half time, the home side scored three times in the last twenty minutes. Substitute Kofi
Adjei headed the winner in the final minute of play, to the delight of 14,000 spectators. Coach Helen Brandt praised
the patience of her team. The final against Granton City will be played on 9 June.

Shares in the battery maker Voltara fell by almost a tenth on Monday after the company lowered its forecast for the
year. Demand from makers of electric bicycles had been weaker than expected, the company said, and a new plant in
Lindau would open six months later than planned. Analysts had expected a smaller correction. The chief executive,
Mr Tanaka, told reporters that orders for the second half of the year were already improving.

More than two thousand people were left without electricity on Wednesday night when a storm crossed the Calder valley.
Falling trees blocked several roads, and the school in Upper Marle lost part of its roof. Nobody was seriously hurt,
according to the fire service, which was called out 61 times between eight in the evening and midnight. Power was
restored to most households by the morning. Forecasters expect calmer weather for the rest of the week.

Scientists at the University of Carrow have bred a kind of wheat that needs a third less water than common varieties,
they reported on Thursday. In trials over four dry summers the new plants gave nearly the same harvest as their
neighbours in watered fields. Farmers in the south of the country have shown great interest. Dr Amina Farouk, who led
the study, warned however that the seed will not be on sale for at least five years.

The public library in Westmere will stay open until midnight on weekdays from September, the district announced on
Friday. The decision follows a petition by students, of whom nearly nine hundred had signed. Four more librarians will
be hired, and the reading room on the second floor will be fitted with new lamps. "We are delighted," said Jonas
Petersen, who started the petition in his kitchen. Opening hours on Saturdays and Sundays will not change.

Customs officers at Dunmore airport have stopped a traveller who was carrying ninety live tortoises in two suitcases.
The animals, each no larger than a hand, had been wrapped in socks. All of them survived and were taken to the zoo,
where a spokeswoman described them as tired but hungry. The man, aged 47, told the officers that he had
packed the wrong bags. He was released on bail and will appear in court next month.
"""

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
        ("user", "Summarise in two sentences why leaves change colour in autumn."),
        (
            "assistant",
            "When the days grow short, trees break down the green chlorophyll in their leaves and move its valuable "
            "parts into the wood. Yellow pigments which were hidden before then become visible, and in some trees "
            "red ones are newly made.",
        ),
        ("user", "Now say it to a child of five."),
        (
            "assistant",
            "The tree puts its green paint away for the winter, and then you can see the yellow and the red.",
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
        ("system", "You are a helpful assistant who answers briefly."),
        ("user", "What do I need to repair a flat bicycle tyre?"),
        (
            "assistant",
            "You need:\n1. Two tyre levers\n2. A patch kit with glue and sandpaper\n3. A pump\n4. A bowl of water, to "
            "find the hole by its bubbles",
        ),
        ("user", "And which step do people forget most often?"),
        (
            "assistant",
            "They forget to check the inside of the tyre. If the thorn or the piece of glass is still there, the new "
            "patch will not last a day.",
        ),
    ),
    (
        ("user", "Explain the difference between weather and climate, with one example."),
        (
            "assistant",
            "Weather is what the air is doing at one place and time: today it is raining in Lisbon. Climate is the "
            "pattern of the weather over many years: winters in Lisbon are mild and wet, and its summers are hot and "
            "dry. One cold day therefore says little about the climate, just as one lost match says little about a "
            "team. As a rule, thirty years are used to describe a climate.",
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
        ("user", "Plan a day in a small town for two tired parents with a child of four. Keep it cheap."),
        (
            "assistant",
            "Morning: walk to the market, let the child choose the fruit, and have breakfast on a bench.\n"
            "Noon: a playground in the shade; one parent plays, the other one rests.\n"
            "Afternoon: the public library, which is free, quiet and cool.\n"
            "Evening: soup and bread at home, then a bath and an early night for everyone.\n"
            "The whole day costs little more than the food.",
        ),
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

OPENINGS = """
The old woman unlocked the gate, looked back at the house, and
Nobody in the village remembered when the bell had last been
On the third morning of the journey the road turned north, toward
He had promised himself never to open the letter, but that night he
When the snow finally melted, the children found in the garden a
The painter mixed a little white into the blue until it was the colour of
It was the kind of summer in which even the cats
Behind the bakery there was a narrow staircase that led down to

"Where have you been all day?" asked his mother. "I was at
"I have good news and bad news," said the pilot. "The good news is
Waiter: Are you ready to order? Guest: Yes, I would like
"If you tell anyone what you saw here," she whispered, "I will
Customer: My parcel has not arrived. Clerk: I am sorry to hear that. Could you
"How old is the bridge?" asked the girl. Her uncle thought for a moment and said
Anna: Shall we take the bus or walk? Peter: Let us walk, because
"You can keep the umbrella," said the stranger, "but you must

If a rectangle is 4 metres wide and 6 metres long, its area is
The sum of the angles in any triangle is equal to
To solve 3x + 4 = 19, we first subtract 4 from both sides and obtain
The prime numbers below twenty are 2, 3, 5, 7,
A train that travels 60 kilometres in an hour needs two hours to travel
Let n be an odd number. Then n can be written as 2k + 1, so n squared is
The probability that a fair coin lands on heads twice in a row is
Twelve eggs are shared equally among four people, so each person gets

The planets of the solar system, in order of their distance from the Sun, are Mercury, Venus,
When water is heated to one hundred degrees Celsius at sea level, it begins to
The heart pumps blood through the body, and the lungs
Light travels faster than sound, which is why we see lightning before we
A magnet has two poles, called the north pole and the
Dinosaurs disappeared about sixty-six million years ago, probably because
Plants need sunlight, water and carbon dioxide in order to
An atom consists of a nucleus, which contains protons and neutrons, and of

LONDON, Monday - The prime minister announced today that the government will
Firefighters rescued a family of four from the roof of their house after
The company said on Friday that it would close two factories and
Thousands of people gathered in the main square on Sunday to
The home team won by three goals to one, and its captain said after the match that
Heavy rain is expected in the north of the country tomorrow, while the south
Police are looking for a man who walked out of the museum with
The new bridge, which cost eighty million dollars, was opened yesterday by

To make a good cup of tea, first boil fresh water, then
Before you change a light bulb, make sure that
User: What is the best way to learn how to swim? Assistant: The best way is
Mix the flour and the sugar in a large bowl, add two eggs, and
User: Name three animals that live in the sea. Assistant: Three animals that live in the sea are
If you want to save money every month, the first thing to do is
User: Please write a short poem about the moon. Assistant: The moon
To send a parcel abroad, you have to fill in a form with

Gestern Abend gingen wir mit den Kindern in den Park, weil
Tous les matins, mon père achète du pain et le journal avant de
La ciudad más grande de España es Madrid, que también es
Domani andiamo al mare con gli amici, perché
O Brasil é o maior país da América do Sul, e a sua capital é
Amsterdam is de hoofdstad van Nederland en staat bekend om
Warszawa jest stolicą Polski i leży nad
Москва является столицей России, и в ней живёт
"""


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
    """All texts, kind after kind, eight of each."""
    written = (
        ("prose", _paragraphs(PROSE)),
        ("dialogue", _blocks(DIALOGUE)),
        ("code", tuple(code.strip("\n") for code in CODE.split("\n----\n"))),
        ("mathematics", _paragraphs(MATHEMATICS)),
        ("science", _paragraphs(SCIENCE)),
        ("news", _paragraphs(NEWS)),
        ("language", _paragraphs(LANGUAGES)),
    )
    plain = (Text(kind, text) for kind, several in written for text in several)
    return (*plain, *(Text("instructions", _transcript(turns), turns) for turns in INSTRUCTIONS))


def openings() -> tuple[str, ...]:
    """The beginnings of 64 other texts of the same eight kinds, each of which breaks off within a sentence."""
    sentences = (line for line in OPENINGS.splitlines() if line)
    return (*sentences, *(code.strip("\n") for code in CODE_OPENINGS.split("\n----\n")))


def _transcript(turns: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"{role.capitalize()}: {content}" for role, content in turns)


def _blocks(text: str) -> tuple[str, ...]:
    return tuple(text.strip().split("\n\n"))


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(block.split()) for block in _blocks(text))
