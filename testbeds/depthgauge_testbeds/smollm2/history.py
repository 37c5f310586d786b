"""Easy facts of history with four options each, written for this project; no method trains on them."""

from typing import NamedTuple

FACTS = """
The kings of ancient Egypt were called | pharaohs | sultans | shoguns | senators
The pyramids of Giza were built as tombs for the kings of | Egypt | Greece | Persia | India
The ancient Egyptians wrote on sheets made from a plant called | papyrus | bamboo | cotton | tobacco
The picture writing of ancient Egypt is known as | hieroglyphs | cuneiform | shorthand | calligraphy
The great river on which ancient Egypt depended was the | Nile | Tigris | Indus | Danube
The stone that helped scholars to read Egyptian writing was found at | Rosetta | Cairo | Memphis | Babylon
The boy king whose rich tomb was found in 1922 was | Tutankhamun | Charlemagne | Nebuchadnezzar | Alexander
The tomb of Tutankhamun was discovered by | Howard Carter | Charles Darwin | David Livingstone | James Cook
The last queen of ancient Egypt was | Cleopatra | Nefertiti | Victoria | Isabella
The Egyptians preserved the bodies of their dead as | mummies | statues | ashes | paintings
The Great Sphinx has the head of a man and the body of a | lion | horse | bull | snake
The sun god of the ancient Egyptians was | Ra | Thor | Zeus | Odin
The wedge-shaped writing of the Sumerians is called | cuneiform | calligraphy | shorthand | hieroglyphs
The land between the Tigris and the Euphrates was known as | Mesopotamia | Macedonia | Scandinavia | Britannia
The king of Babylon famous for his code of laws was | Hammurabi | Solomon | Charlemagne | Alexander
The Hanging Gardens are said to have stood in | Babylon | Athens | Carthage | Rome
The Greeks had their alphabet from the | Phoenicians | Scandinavians | Mongols | Incas
The Persian Empire was founded by | Cyrus the Great | Alfred the Great | Peter the Great | Julius Caesar
In the Bible, the Israelites were led out of Egypt by | Moses | Abraham | David | Solomon
By tradition, the first temple in Jerusalem was built by King | Solomon | Arthur | Alexander | Charlemagne
In the Bible, the giant Goliath was killed by | David | Samson | Moses | Joshua
The Stone Age was followed by the | Bronze Age | Space Age | Middle Ages | Atomic Age
In ancient times bronze was made by mixing tin with | copper | iron | gold | lead
Before they learned to farm, people lived by hunting and | gathering | trading | banking | manufacturing
The ancient cities of Harappa and Mohenjo-daro lay in the valley of the | Indus | Nile | Danube | Amazon
The ring of huge stones called Stonehenge stands in | England | Germany | Egypt | Norway
The painted caves of Lascaux were discovered in | France | Germany | Russia | Ireland
The first animals to be tamed by humans were | dogs | horses | cows | chickens
The wooden horse of Greek legend was used to capture | Troy | Athens | Rome | Sparta
The Minoans built the palace of Knossos on the island of | Crete | Sicily | Malta | Ireland
The ancient kingdom of Kush was the southern neighbour of | Egypt | Greece | Persia | India
The Assyrian Empire had its capital at | Nineveh | Athens | Sparta | Carthage

Democracy is said to have been born in the city of | Athens | Sparta | Rome | Babylon
The Greek city best known for training its boys as soldiers was | Sparta | Athens | Corinth | Delphi
The ancient Olympic Games were held in honour of | Zeus | Hermes | Athena | Mars
The Parthenon stands on a hill in | Athens | Rome | Naples | Istanbul
The Iliad and the Odyssey are said to be the work of | Homer | Plato | Virgil | Aristotle
The teacher of Alexander the Great was | Aristotle | Socrates | Pythagoras | Homer
The philosopher who was made to drink poison in Athens was | Socrates | Aristotle | Pythagoras | Euclid
The philosopher Plato was a student of | Socrates | Aristotle | Cicero | Confucius
Alexander the Great was born in the kingdom of | Macedonia | Phoenicia | Babylonia | Prussia
Alexander the Great conquered the empire of the | Persians | Romans | Mongols | Visigoths
The father of Alexander the Great was King | Philip | Darius | Louis | Arthur
The Greek doctor called the father of medicine was | Hippocrates | Pythagoras | Aristophanes | Archimedes
The Greek writer called the father of history was | Herodotus | Hippocrates | Euclid | Sophocles
In 490 BC the Athenians beat the Persians at | Marathon | Waterloo | Hastings | Yorktown
The three hundred Spartans at Thermopylae were led by | Leonidas | Pericles | Spartacus | Hannibal
The Greek said to have leapt from his bath shouting Eureka was | Archimedes | Aristotle | Pythagoras | Socrates
The Peloponnesian War was fought between Athens and | Sparta | Carthage | Troy | Babylon
The famous lighthouse of the ancient world stood at | Alexandria | Jerusalem | Constantinople | Babylon
The Colossus was a giant statue on the island of | Rhodes | Sicily | Malta | Corsica
The ancient book of geometry called the Elements was written by | Euclid | Homer | Plato | Virgil

The Colosseum was built by the | Romans | Greeks | Persians | Egyptians
In legend, Romulus killed his twin brother, who was called | Remus | Hector | Brutus | Nero
In legend, Romulus and Remus were fed as babies by a | wolf | bear | lion | cow
Julius Caesar was murdered in | 44 BC | 144 BC | 344 BC | 544 BC
Julius Caesar was murdered on the Ides of | March | May | July | October
One of the men who murdered Julius Caesar was | Brutus | Augustus | Nero | Hannibal
The first emperor of Rome was | Augustus | Nero | Constantine | Hadrian
The general who took elephants over the Alps to fight Rome was | Hannibal | Leonidas | Napoleon | Saladin
The Punic Wars were fought between Rome and | Carthage | Scotland | Persia | Troy
The gladiator who led a great slave revolt against Rome was | Spartacus | Leonidas | Augustus | Archimedes
The emperor said to have fiddled while Rome burned was | Nero | Trajan | Hadrian | Augustus
The town of Pompeii was buried by the eruption of Mount | Vesuvius | Etna | Olympus | Kilimanjaro
The wall that the Romans built across the north of Britain is named after | Hadrian | Caesar | Augustus | Nero
The first Christian emperor of Rome was | Constantine | Augustus | Nero | Marcus Aurelius
The language of the ancient Romans was | Latin | Greek | Arabic | French
The last Western Roman emperor lost his throne in the year | 476 | 1066 | 1453 | 1215
The queen who led the Britons in revolt against the Romans was | Boudica | Cleopatra | Victoria | Isabella
Men who fought in the arena to entertain the Romans were called | gladiators | senators | centurions | knights
The Romans carried water to their cities by means of | aqueducts | pyramids | windmills | catacombs
By tradition, Cleopatra was killed by the bite of a | snake | spider | lion | dog
Jesus was put to death by order of the Roman governor | Pontius Pilate | Julius Caesar | Mark Antony | Marcus Aurelius
Attila was the leader of the | Huns | Greeks | Vikings | Celts
In 410 the city of Rome was sacked by the | Visigoths | Mongols | Vikings | Babylonians
The river that Julius Caesar crossed to begin a civil war was the | Rubicon | Danube | Nile | Euphrates
The Roman god of war was | Mars | Jupiter | Neptune | Apollo
The king of the Roman gods was | Jupiter | Mars | Neptune | Mercury
The Romans called the land that is now France | Gaul | Britannia | Persia | Carthage
The month of July is named after | Julius Caesar | Mark Antony | Pontius Pilate | Emperor Hadrian
The lovers Antony and Cleopatra were defeated in battle by | Augustus | Nero | Hannibal | Constantine

The prince who became the Buddha was named | Siddhartha | Ashoka | Muhammad | Tutankhamun
The religion taught by the Prophet Muhammad is | Islam | Judaism | Hinduism | Buddhism
The holy book of the Muslims is the | Quran | Bible | Torah | Iliad
The Prophet Muhammad was born in the city of | Mecca | Baghdad | Cairo | Jerusalem
The Bible says that Jesus was born in | Bethlehem | Jericho | Jerusalem | Damascus
The Sikh religion was founded by | Guru Nanak | Mahatma Gandhi | Genghis Khan | Marco Polo
The Chinese teacher whose sayings fill the Analects was | Confucius | Kublai Khan | Genghis Khan | Buddha
The ancient Chinese book called The Art of War is said to be by | Sun Tzu | Marco Polo | Mao Zedong | Confucius
Saint Patrick is the patron saint of | Ireland | England | Scotland | Russia
The Vikings worshipped a god of thunder called | Thor | Zeus | Mars | Apollo

The man who became the first emperor of all China was | Qin Shi Huang | Kublai Khan | Genghis Khan | Sun Yat-sen
An army of clay soldiers guards the tomb of the first emperor of | China | Japan | India | Rome
Gunpowder was invented in | China | Italy | England | Egypt
Paper was first made in ancient | China | Greece | Rome | Persia
The trade route that led from China to the West was known as the | Silk Road | Gold Coast | Oregon Trail | Red Sea
The Forbidden City in Beijing was the home of the Chinese | emperors | sultans | pharaohs | shoguns
The Mongol Empire was founded by | Genghis Khan | Marco Polo | Alexander the Great | Julius Caesar
The Mongol emperor Kublai was the grandson of | Genghis Khan | Marco Polo | Sun Yat-sen | Alexander the Great
The traveller from Venice who served Kublai Khan was | Marco Polo | Christopher Columbus | Vasco da Gama | James Cook
The Chinese admiral who sailed to Africa in the 1400s was | Zheng He | Kublai Khan | Mao Zedong | Confucius
The last dynasty of China was the | Qing | Ming | Tang | Han
The samurai were warriors of | Japan | China | India | Mongolia
For centuries the military rulers of Japan were the | shoguns | sultans | pharaohs | tsars
The old name of the city of Tokyo was | Edo | Kyoto | Seoul | Delhi
Before Tokyo, the emperors of Japan lived in | Kyoto | Seoul | Beijing | Delhi
In 1868 the rule of Japan was given back to the | emperor | president | pope | sultan
Japan was opened to American trade in the 1850s by Commodore | Perry | Nelson | Drake | Custer
In the first Opium War, China fought against | Britain | Germany | Italy | Portugal
The Taj Mahal was built by the emperor | Shah Jahan | Kublai Khan | Genghis Khan | Napoleon
The Taj Mahal was built as a tomb for the emperor's | wife | son | brother | horse
The Taj Mahal stands in the city of | Agra | Delhi | Mumbai | Calcutta
The Indian emperor who turned to Buddhism after a bloody war was | Ashoka | Akbar | Babur | Aurangzeb
The Mughal Empire was founded in India by | Babur | Akbar | Ashoka | Saladin
The temple of Angkor Wat was built by the people of | Cambodia | Japan | Mongolia | Tibet
The digits that we call Arabic numerals were first used in | India | Rome | Greece | Russia
The Korean alphabet was created in the 1400s under King | Sejong | Solomon | Arthur | Darius

The Battle of Hastings was fought in | 1066 | 1215 | 1415 | 1588
The Duke of Normandy who won at Hastings was William the | Conqueror | Lionheart | Silent | Confessor
The English king killed at the Battle of Hastings was | Harold | Alfred | Richard | John
The Magna Carta was sealed in | 1215 | 1066 | 1492 | 1776
The English king who was made to seal the Magna Carta was | John | Richard | Alfred | Harold
King Richard the First of England was called the | Lionheart | Conqueror | Confessor | Unready
The king of the Franks who was crowned emperor in 800 was | Charlemagne | Constantine | Napoleon | Justinian
The Black Death was spread by fleas that lived on | rats | dogs | birds | sheep
The Black Death swept across Europe in the | 1340s | 1540s | 1740s | 1840s
The Vikings came from the north of Europe, from | Scandinavia | Macedonia | Mesopotamia | Sicily
A Viking who sailed to North America was | Leif Erikson | Henry Hudson | Francis Drake | Robert Scott
The Viking who led settlers to Greenland was Erik the | Red | Bald | Black | Great
King Alfred the Great fought for many years against the | Vikings | Romans | Mongols | Turks
The knights of the First Crusade captured the city of | Jerusalem | Baghdad | Cairo | Mecca
The Muslim leader who took Jerusalem back in 1187 was | Saladin | Suleiman | Hannibal | Babur
Joan of Arc was put to death by | burning | hanging | drowning | shooting
The Hundred Years' War was fought between England and | France | Spain | Germany | Russia
The English king who won the Battle of Agincourt was | Henry V | Henry VIII | Charles I | James I
The Wars of the Roses were fought between the houses of York and | Lancaster | Habsburg | Windsor | Bonaparte
Constantinople fell to the Turks in | 1453 | 1066 | 1776 | 1815
The capital of the Byzantine Empire was | Constantinople | Alexandria | Jerusalem | Carthage
The city once called Constantinople is now known as | Istanbul | Damascus | Baghdad | Jerusalem
The great church of Hagia Sophia was built by the emperor | Justinian | Nero | Charlemagne | Hadrian
The tales of the Arabian Nights tell of the caliph who ruled in | Baghdad | Jerusalem | Delhi | Athens
The medieval system of lords, vassals and land is called | feudalism | socialism | capitalism | democracy
Peasants who were bound to their lord's land were called | serfs | squires | monks | bishops
In the Middle Ages, soldiers who fought in armour on horseback were called | knights | monks | serfs | bishops
Before printing, the books of Europe were mostly copied by | monks | knights | serfs | sailors
The Canterbury Tales were written by | Geoffrey Chaucer | William Shakespeare | Charles Dickens | Oscar Wilde
The poem called the Divine Comedy was written by | Dante | Homer | Virgil | Shakespeare
At Bannockburn the Scots were led by | Robert the Bruce | Alfred the Great | Ivan the Terrible | Richard III
William Wallace fought for the freedom of | Scotland | Ireland | Denmark | Normandy
Archbishop Thomas Becket was murdered in the cathedral of | Canterbury | Paris | Cologne | Westminster
Robin Hood is said to have lived in the forest of | Sherwood | Windsor | Cambridge | Normandy
In the Middle Ages, the Moors ruled over much of | Spain | Norway | Poland | Scotland
The Moorish palace called the Alhambra stands in | Granada | Lisbon | Florence | Naples
The Bayeux Tapestry tells of the Norman conquest of | England | Sicily | Denmark | Portugal
The rulers called doges governed the city of | Venice | Rome | London | Vienna
The Tower of London was begun by William the | Conqueror | Lionheart | Silent | Confessor
The king in the legend of the Round Table was | Arthur | Alfred | Harold | Richard
The sword of King Arthur was called | Excalibur | Camelot | Guinevere | Lancelot
The rich king of Mali who went to Mecca was | Mansa Musa | Kublai Khan | Shah Jahan | Haile Selassie
The old centre of learning called Timbuktu lies in | Mali | Kenya | Egypt | Uganda
The walls of Great Zimbabwe were built of | stone | wood | brick | iron
The churches of Lalibela were cut from the rock in | Ethiopia | Nigeria | Morocco | South Africa
The rock-cut city of Petra lies in | Jordan | Egypt | Turkey | Greece

The city of Machu Picchu was built by the | Incas | Aztecs | Mayas | Spanish
The ruins of Machu Picchu lie in the mountains of | Peru | Mexico | Brazil | Cuba
The capital of the Aztecs stood on the site of | Mexico City | New York | Buenos Aires | Los Angeles
The Aztec Empire was conquered by | Hernán Cortés | Francisco Pizarro | Vasco da Gama | Francis Drake
The Inca Empire was conquered by | Francisco Pizarro | Hernán Cortés | Ferdinand Magellan | Francis Drake
The Aztec ruler who met Cortés was | Montezuma | Geronimo | Sitting Bull | Pocahontas
The pyramid at Chichen Itza was built by the | Mayas | Incas | Greeks | Egyptians
The Incas kept their records with knots in | string | leather | paper | grass
The Inca Empire had its capital at | Cusco | Havana | Rio | Boston
The giant stone heads called moai stand on | Easter Island | Long Island | Ellis Island | Staten Island
The first people to settle in New Zealand were the | Maori | Inuit | Zulu | Sioux
The native people of the Arctic who built igloos were the | Inuit | Maori | Zulu | Apache
The Sioux of the Great Plains hunted herds of | buffalo | camels | elephants | sheep
Sitting Bull and Crazy Horse were leaders of the | Sioux | Zulu | Aztecs | Maori

Christopher Columbus first crossed the Atlantic in | 1492 | 1066 | 1588 | 1776
The ships of Columbus sailed for the king and queen of | Spain | England | France | Portugal
Christopher Columbus was born in the city of | Genoa | London | Paris | Vienna
The ships of Columbus were the Pinta, the Niña and the | Santa María | Mayflower | Queen Mary | Victory
The first voyage around the world was led by | Ferdinand Magellan | Christopher Columbus | Marco Polo | James Cook
The first European to sail round Africa to India was | Vasco da Gama | Ferdinand Magellan | Marco Polo | James Cook
America is named after | Amerigo Vespucci | Christopher Columbus | Ferdinand Magellan | Hernán Cortés
The first Englishman to sail around the world was | Francis Drake | Walter Raleigh | James Cook | Horatio Nelson
Captain James Cook was killed in | Hawaii | Jamaica | Cuba | Iceland
For three centuries Brazil was a colony of | Portugal | Spain | France | England
The Spanish Armada was defeated in | 1588 | 1492 | 1815 | 1914
The Spanish Armada was sent to invade | England | Portugal | Mexico | Turkey
The first Dutch name of New York was New | Amsterdam | Orleans | Brunswick | Zealand
The Pacific Ocean was given its name by | Magellan | Columbus | Newton | Napoleon
Before Columbus, the potato was grown only in | America | Africa | Asia | Europe
The pirate Edward Teach was better known as | Blackbeard | Robin Hood | Captain Hook | Moby Dick
The first man to reach the South Pole was | Roald Amundsen | Robert Scott | Edmund Hillary | James Cook
Mount Everest was first climbed by Tenzing Norgay and | Edmund Hillary | Robert Scott | Roald Amundsen | Howard Carter
The explorer David Livingstone made his great journeys in | Africa | America | Australia | Europe
The man who found Doctor Livingstone in Africa was | Henry Stanley | Robert Scott | Francis Drake | James Cook
The First Fleet of 1788 carried convicts from Britain to | Australia | Argentina | India | Jamaica
The island of Tasmania is named after a Dutch | sailor | king | doctor | painter

The Renaissance began in | Italy | England | Russia | Sweden
The Mona Lisa was painted by | Leonardo da Vinci | Michelangelo | Vincent van Gogh | Pablo Picasso
The ceiling of the Sistine Chapel was painted by | Michelangelo | Leonardo da Vinci | Rembrandt | Claude Monet
The marble statue of David in Florence was carved by | Michelangelo | Rembrandt | Leonardo da Vinci | Auguste Rodin
The Last Supper in Milan was painted by | Leonardo da Vinci | Johannes Vermeer | Vincent van Gogh | Pablo Picasso
The Medici were the leading family of | Florence | Budapest | Madrid | Vienna
The book called The Prince was written by | Machiavelli | Shakespeare | Galileo | Columbus
Printing came to Europe with the press of | Johannes Gutenberg | Christopher Columbus | Martin Luther | Galileo
The most famous book printed by Gutenberg was the | Bible | Iliad | Quran | Odyssey
The Protestant Reformation was begun in 1517 by | Martin Luther | John Calvin | Thomas More | Isaac Newton
The Protestant Reformation began in | Germany | France | Spain | Ireland
The number of wives of King Henry VIII was | six | two | four | ten
The second wife of Henry VIII was | Anne Boleyn | Marie Antoinette | Jane Austen | Joan of Arc
The daughter of Henry VIII and Anne Boleyn was | Elizabeth | Victoria | Cleopatra | Josephine
Mary, Queen of Scots, was put to death by order of Queen | Elizabeth | Victoria | Isabella | Cleopatra
William Shakespeare was born in | Stratford | Liverpool | Edinburgh | Dublin
The play Romeo and Juliet was written by | William Shakespeare | Charles Dickens | Oscar Wilde | Victor Hugo
The theatre where the plays of Shakespeare were acted was called the | Globe | Tower | Mayflower | Bastille
In 1543 a book that put the Sun at the centre was published by | Copernicus | Newton | Einstein | Archimedes
For saying that the Earth moves, the Church put on trial | Galileo | Newton | Einstein | Darwin
The law of gravity was published in 1687 by | Isaac Newton | Albert Einstein | Charles Darwin | Marie Curie
The story goes that Newton thought of gravity at the fall of an | apple | egg | onion | acorn
The novel Don Quixote was written by | Cervantes | Dickens | Shakespeare | Voltaire
In the Gunpowder Plot of 1605 a part was played by | Guy Fawkes | Oliver Cromwell | Francis Drake | Robin Hood
The Ottoman sultan Suleiman was called the | Magnificent | Lionheart | Terrible | Unready
The Russian tsar Ivan IV was called Ivan the | Terrible | Lionheart | Silent | Conqueror
In 1492 Ferdinand and Isabella were the rulers of | Spain | England | Sweden | Poland

The Pilgrims landed at Plymouth in | 1620 | 1492 | 1776 | 1812
The Pilgrims sailed to America on the | Mayflower | Santa María | Titanic | Lusitania
The first lasting English settlement in America was | Jamestown | Boston | Philadelphia | Chicago
Pocahontas is said to have saved the life of Captain John | Smith | Adams | Hancock | Brown
In the English Civil War, Parliament was led by | Oliver Cromwell | Guy Fawkes | Winston Churchill | Walter Raleigh
The English king who was beheaded in 1649 was | Charles I | Henry VIII | Richard III | Henry V
The Great Fire of London broke out in | 1666 | 1066 | 1815 | 1914
The Great Fire of London began in a | bakery | church | prison | theatre
After the Great Fire, St Paul's Cathedral was rebuilt by | Christopher Wren | Isaac Newton | Michelangelo | James Watt
Louis XIV of France was called the | Sun King | Red Baron | Black Prince | Desert Fox
The great palace of Louis XIV stands at | Versailles | Westminster | Potsdam | Granada
Peter the Great was the ruler of | Russia | Prussia | Austria | Sweden
The new capital built by Peter the Great was | Saint Petersburg | Moscow | Constantinople | Warsaw
Catherine the Great was empress of | Russia | China | Brazil | India
Frederick the Great was king of | Prussia | Spain | Sweden | Portugal
In 1683 the city of Vienna was besieged by the | Ottomans | Vikings | Visigoths | Romans
The Night Watch was painted by | Rembrandt | Michelangelo | Pablo Picasso | Claude Monet
Girl with a Pearl Earring was painted by | Vermeer | Rembrandt | Michelangelo | Picasso
In the 1630s the Dutch paid mad prices for | tulips | roses | potatoes | apples
The Brandenburg Concertos were composed by | Bach | Mozart | Chopin | Wagner
The opera called The Magic Flute was composed by | Mozart | Tchaikovsky | Beethoven | Chopin
The composer who went on writing music after he grew deaf was | Beethoven | Mozart | Chopin | Vivaldi
The violin concertos called The Four Seasons were composed by | Vivaldi | Beethoven | Wagner | Mozart
In 1755 a great earthquake destroyed the city of | Lisbon | Paris | London | Moscow
The first vaccine, against smallpox, was made by | Edward Jenner | Isaac Newton | Marie Curie | Alexander Fleming
The steam engine was greatly improved in the 1760s by | James Watt | Thomas Edison | Henry Ford | Alfred Nobel
The Industrial Revolution began in | Britain | Portugal | Japan | Russia
The book called The Wealth of Nations was written by | Adam Smith | Karl Marx | Isaac Newton | Thomas More
The words I think, therefore I am were written by | Descartes | Galileo | Napoleon | Shakespeare
The tale of Candide was written by | Voltaire | Descartes | Cervantes | Dickens
The brothers who built the first hot-air balloon were named | Montgolfier | Wright | Lindbergh | Rockefeller
The Latin names for plants and animals were set up by | Carl Linnaeus | Louis Pasteur | Albert Einstein | Karl Marx

The first American president was | George Washington | Abraham Lincoln | Thomas Jefferson | Benjamin Franklin
The American Declaration of Independence was adopted in | 1776 | 1492 | 1865 | 1918
The Declaration of Independence was written by | Thomas Jefferson | Abraham Lincoln | Woodrow Wilson | Robert E. Lee
In 1773 the men of Boston threw into the harbour chests of | tea | gold | coffee | silk
The rider who warned that the British were coming was | Paul Revere | Davy Crockett | Jesse James | Robert E. Lee
The first shots of the American Revolution were fired at | Lexington | Yorktown | Gettysburg | Richmond
The last great British army in the American Revolution surrendered at | Yorktown | Boston | Waterloo | Gettysburg
Give me liberty, or give me death, said | Patrick Henry | Robert E. Lee | Abraham Lincoln | Jesse James
The American Revolution was betrayed by | Benedict Arnold | George Washington | Ulysses Grant | George Custer
The man who flew a kite to study lightning was | Benjamin Franklin | Thomas Edison | Isaac Newton | Louis Pasteur
The first ten amendments are called the | Bill of Rights | Magna Carta | New Deal | Ten Commandments
The second president of the United States was | John Adams | Andrew Jackson | Abraham Lincoln | Woodrow Wilson
In 1803 the United States bought Louisiana from | France | Mexico | Russia | Canada
In 1867 the United States bought Alaska from | Russia | Canada | Britain | Japan
The native woman who went with Lewis and Clark was | Sacagawea | Pocahontas | Harriet Tubman | Annie Oakley
Lewis and Clark were sent to the West by President | Jefferson | Lincoln | Wilson | Roosevelt
The great gold rush of 1849 was in | California | Florida | Virginia | Massachusetts
Davy Crockett died in the defence of the | Alamo | Bastille | Kremlin | White House
The American Civil War began in | 1861 | 1776 | 1812 | 1914
The first shots of the American Civil War were fired at Fort | Sumter | Knox | Worth | Lauderdale
The Union president in the Civil War was | Abraham Lincoln | George Washington | Woodrow Wilson | John Adams
The president of the Confederate States was | Jefferson Davis | Abraham Lincoln | George Washington | Ulysses Grant
The Confederate army was led by General | Robert E. Lee | Ulysses Grant | George Custer | Dwight Eisenhower
In 1865 General Lee surrendered to General | Grant | Custer | Washington | Patton
President Lincoln was shot by | John Wilkes Booth | Lee Harvey Oswald | Jesse James | Davy Crockett
President Lincoln was shot in a | theatre | church | train | restaurant
The Gettysburg Address was given by President | Lincoln | Jefferson | Roosevelt | Kennedy
The Thirteenth Amendment to the Constitution put an end to | slavery | taxes | divorce | gambling
Slaves were led to freedom in the North by | Harriet Tubman | Marie Antoinette | Annie Oakley | Amelia Earhart
The novel Uncle Tom's Cabin was written by Harriet Beecher | Stowe | Dickens | Twain | Austen
The American general killed at the Little Bighorn was | George Custer | Robert E. Lee | Ulysses Grant | George Patton
The Statue of Liberty was a gift from | France | Spain | Germany | Canada
For many years immigrants to New York landed at | Ellis Island | Easter Island | Rhode Island | Pearl Harbor

The French Revolution began in | 1789 | 1689 | 1848 | 1917
In July 1789 the people of Paris stormed the | Bastille | Kremlin | Vatican | Parthenon
The French king who died by the guillotine was | Louis XVI | Louis XIV | Charles I | Henry V
The queen who died by the guillotine was | Marie Antoinette | Joan of Arc | Anne Boleyn | Catherine the Great
The leader of the Reign of Terror in France was | Robespierre | Descartes | Machiavelli | Galileo
Napoleon was born on the island of | Corsica | Elba | Malta | Ireland
Napoleon was defeated for the last time at | Waterloo | Trafalgar | Moscow | Gettysburg
The Battle of Waterloo was fought in | 1815 | 1776 | 1848 | 1914
Napoleon died on the island of | Saint Helena | Corsica | Madagascar | Sicily
Napoleon invaded Russia in | 1812 | 1789 | 1848 | 1941
The admiral who died at Trafalgar was | Horatio Nelson | Francis Drake | Walter Raleigh | James Cook
The British commander at Waterloo was the Duke of | Wellington | Lancaster | Windsor | York
The first wife of Napoleon was named | Josephine | Victoria | Isabella | Cleopatra
After Napoleon fell, the map of Europe was redrawn at a congress in | Vienna | Venice | Moscow | Madrid

In 1837 the throne of Britain passed to Queen | Victoria | Elizabeth | Isabella | Josephine
The husband of Queen Victoria was Prince | Albert | Philip | Richard | Harold
The nurse who became famous in the Crimean War was | Florence Nightingale | Marie Curie | Jane Austen | Mary Shelley
The Communist Manifesto was written by Friedrich Engels and | Karl Marx | Vladimir Lenin | Joseph Stalin | Adam Smith
The German leader called the Iron Chancellor was | Bismarck | Hitler | Beethoven | Rommel
The leader of the Redshirts who helped to unite Italy was | Garibaldi | Mussolini | Machiavelli | Columbus
The liberator of Venezuela and Colombia was | Simón Bolívar | Fidel Castro | Hernán Cortés | Francisco Franco
A great slave revolt in Haiti was led by | Toussaint Louverture | Nelson Mandela | Simón Bolívar | Fidel Castro
The last country in the Americas to abolish slavery was | Brazil | Mexico | Canada | Haiti
The Irish famine of the 1840s was caused by a disease of | potatoes | cabbages | apples | sheep
The Suez Canal joins the Mediterranean Sea to the | Red Sea | Black Sea | Dead Sea | North Sea
The king who made the Zulu a great power in Africa was | Shaka | Akbar | Babur | Saladin
The Boer War was fought in | South Africa | New Zealand | North America | Ireland
In 1896 an Italian army was beaten at Adwa by the army of | Ethiopia | Morocco | Bulgaria | Argentina
The ships of the Atlantic slave trade carried people from | Africa | Australia | Russia | China
The fight to end the slave trade was led by | William Wilberforce | Guy Fawkes | Horatio Nelson | Walter Raleigh
The Russian tsar who freed the serfs in 1861 was | Alexander II | Nicholas II | Ivan the Terrible | Peter I
The first country to give all women the vote, in 1893, was | New Zealand | South Africa | Switzerland | Japan
The suffragettes fought for the right of women to | vote | marry | drive | sing
The volcano of Krakatoa, which blew up in 1883, lies in | Indonesia | Argentina | Iceland | Mexico
The theory of natural selection is the work of | Charles Darwin | Isaac Newton | Albert Einstein | Karl Marx
Charles Darwin made his voyage on a ship called the | Beagle | Victory | Mayflower | Titanic
The laws of heredity were found by Gregor Mendel, who grew | peas | roses | tulips | apples
The vaccine against rabies was made by | Louis Pasteur | Albert Einstein | Alfred Nobel | Thomas Edison
The first patent for the telephone went to | Alexander Graham Bell | Thomas Edison | Henry Ford | Louis Pasteur
The phonograph was invented by | Thomas Edison | Henry Ford | Alfred Nobel | Charles Darwin
A code of dots and dashes is named after | Samuel Morse | Louis Pasteur | Henry Ford | James Watt
The alphabet of raised dots for the blind was invented by Louis | Braille | Pasteur | Armstrong | Napoleon
Alfred Nobel, the founder of the Nobel Prizes, had invented | dynamite | television | plastic | paper
The discoverer of X-rays was | Wilhelm Röntgen | Isaac Newton | Charles Darwin | Alexander Fleming
Radium was discovered by Pierre Curie and his wife | Marie | Victoria | Josephine | Florence
The periodic table of the elements is the work of | Mendeleev | Tolstoy | Gorbachev | Tchaikovsky
The cotton gin was invented by | Eli Whitney | Mark Twain | Adam Smith | Karl Benz
The first postage stamp in the world was the Penny | Black | Blue | Green | White
The first petrol car was built in 1885 by | Karl Benz | Henry Ford | James Watt | Alfred Nobel
The Eiffel Tower was finished in | 1889 | 1689 | 1789 | 1945
The first modern Olympic Games were held in 1896 in | Athens | Paris | London | Berlin
The brothers who showed the first films in Paris were named | Lumière | Wright | Grimm | Kennedy
The novel Oliver Twist was written by | Charles Dickens | Mark Twain | Jane Austen | Leo Tolstoy
The adventures of Tom Sawyer were written by | Mark Twain | Charles Dickens | Jane Austen | Victor Hugo
The novel Les Misérables was written by | Victor Hugo | Mark Twain | Charles Dickens | Leo Tolstoy
The novel War and Peace was written by | Leo Tolstoy | Victor Hugo | Oscar Wilde | Vladimir Lenin
The novel Frankenstein was written by | Mary Shelley | Jane Austen | Victor Hugo | Charles Dickens
The novel Pride and Prejudice was written by | Jane Austen | Mary Shelley | Mark Twain | Oscar Wilde
The Starry Night was painted by | Vincent van Gogh | Leonardo da Vinci | Pablo Picasso | Michelangelo
The ballet Swan Lake was composed by | Tchaikovsky | Johann Sebastian Bach | Vivaldi | Mozart
The bronze statue called The Thinker was made by | Auguste Rodin | Michelangelo | Leonardo da Vinci | Rembrandt
The murders of Jack the Ripper took place in | London | Paris | Chicago | Berlin

The brothers who flew the first airplane in 1903 were named | Wright | Grimm | Lumière | Kennedy
The Model T was a car made by | Henry Ford | Karl Benz | Thomas Edison | Walt Disney
The theory of relativity is the work of | Albert Einstein | Isaac Newton | Charles Darwin | Louis Pasteur
The Titanic sank in | 1912 | 1812 | 1945 | 1989
The Titanic sank after it struck an | iceberg | island | airship | elephant
The Panama Canal was opened in | 1914 | 1714 | 1814 | 1969
The First World War began in | 1914 | 1812 | 1939 | 1950
The First World War ended in | 1918 | 1815 | 1945 | 1929
The archduke shot at Sarajevo in 1914 was | Franz Ferdinand | Karl Marx | Otto von Bismarck | Albert Einstein
On the Western Front of the First World War, soldiers lived in | trenches | castles | submarines | palaces
The German pilot Manfred von Richthofen was called the | Red Baron | Desert Fox | Black Prince | Sun King
The liner Lusitania was sunk in 1915 by a German | submarine | airship | helicopter | tank
The United States entered the First World War in | 1917 | 1941 | 1865 | 1929
The fighting of the First World War stopped on the eleventh of | November | February | July | August
In the First World War, America was led by | Woodrow Wilson | Abraham Lincoln | Richard Nixon | Harry Truman
The Gallipoli campaign of 1915 was fought in | Turkey | Italy | Spain | Norway
The peace treaty with Germany was signed in 1919 at | Versailles | Windsor | Nuremberg | Waterloo
The German emperor of the First World War was called the | Kaiser | Tsar | Sultan | Shogun
The British officer T. E. Lawrence was called Lawrence of | Arabia | India | Russia | Africa
The last tsar of Russia was | Nicholas II | Alexander II | Ivan IV | Henry VIII
The October Revolution of 1917 was led by | Vladimir Lenin | Karl Marx | Ivan the Terrible | Boris Yeltsin
The holy man who had great power over the last tsarina was | Rasputin | Tolstoy | Gorbachev | Tchaikovsky
Mustafa Kemal Atatürk was the founder of modern | Turkey | Iran | Greece | Morocco
The deadly flu of 1918 was called the | Spanish flu | Russian flu | Roman flu | Irish flu
The body set up in 1920 to keep the peace was the | League of Nations | European Union | Warsaw Pact | Roman Empire

The stock market crash of 1929 took place on | Wall Street | Fleet Street | Downing Street | Pearl Harbor
The New Deal was the programme of President | Roosevelt | Lincoln | Nixon | Jefferson
In the years of Prohibition, Americans were not allowed to sell | alcohol | tobacco | coffee | sugar
The gangster Al Capone made his fortune in | Chicago | Dallas | New Orleans | Boston
The first man to fly the Atlantic alone was | Charles Lindbergh | Neil Armstrong | George Washington | Yuri Gagarin
The first woman to fly the Atlantic alone was | Amelia Earhart | Harriet Tubman | Annie Oakley | Marie Curie
Penicillin was discovered in 1928 by | Alexander Fleming | Charles Darwin | Benjamin Franklin | Thomas Edison
Mickey Mouse was created by | Walt Disney | Henry Ford | Mark Twain | Charles Dickens
The fascist dictator of Italy was | Mussolini | Garibaldi | Machiavelli | Galileo
After its civil war Spain was ruled by | Francisco Franco | Simón Bolívar | Benito Mussolini | Fidel Castro
The picture called Guernica was painted by | Pablo Picasso | Claude Monet | Vincent van Gogh | Rembrandt
The dictator of the Soviet Union after Lenin was | Joseph Stalin | Karl Marx | Boris Yeltsin | Nicholas II
Hitler came to power in Germany in | 1933 | 1914 | 1945 | 1871
Adolf Hitler was born in | Austria | Denmark | Bulgaria | Russia
The Long March of the Chinese communists is linked with | Mao Zedong | Genghis Khan | Confucius | Kublai Khan
The Salt March of 1930 in India was led by | Mahatma Gandhi | Mao Zedong | Guru Nanak | Nelson Mandela
The German airship that burned in 1937 was the | Hindenburg | Titanic | Lusitania | Challenger
The American runner who won four golds at Berlin in 1936 was | Jesse Owens | Muhammad Ali | Babe Ruth | Jesse James

The Second World War began with the German invasion of | Poland | France | Greece | Norway
The Second World War began in | 1939 | 1914 | 1950 | 1961
The Second World War ended in | 1945 | 1918 | 1963 | 1989
Pearl Harbor was attacked by | Japan | Germany | Mexico | Russia
The attack on Pearl Harbor took place in | 1941 | 1917 | 1929 | 1963
Britain in the war against Hitler was led by | Winston Churchill | Margaret Thatcher | Oliver Cromwell | Tony Blair
On D-Day the Allied armies landed in | Normandy | Norway | Scotland | Corsica
The Allied landings called D-Day took place in | 1944 | 1917 | 1929 | 1961
The first atomic bomb used in war was dropped on | Hiroshima | Nagasaki | Tokyo | Berlin
Anne Frank and her family hid from the Nazis in | Amsterdam | Stockholm | Berlin | Moscow
Anne Frank is remembered for her | diary | songs | paintings | speeches
The death camp of Auschwitz was built in occupied | Poland | France | Norway | Greece
In 1940 the British army was rescued from the beaches of | Dunkirk | Gallipoli | Lisbon | Sicily
The Enigma code was broken with the help of | Alan Turing | Isaac Newton | Adam Smith | Charles Darwin
The German general called the Desert Fox was | Rommel | Bismarck | Patton | Hindenburg
The Allies on D-Day were commanded by | Dwight Eisenhower | Ulysses Grant | Robert E. Lee | George Washington
In 1943 a whole German army was lost on the Volga at | Stalingrad | Warsaw | Waterloo | Nuremberg
After the war the Nazi leaders were put on trial at | Nuremberg | Versailles | Waterloo | Dunkirk
The murder of six million Jews by the Nazis is called the | Holocaust | Renaissance | Reformation | Cold War
The Nazi secret police were called the | Gestapo | Stasi | Cossacks | Janissaries
In the Second World War, Germany and Japan were allied with | Italy | Britain | China | Brazil
The scientist who led the making of the first atomic bomb was | Oppenheimer | Darwin | Mendeleev | Edison
The Free French in the Second World War were led by | Charles de Gaulle | Victor Hugo | Louis Pasteur | Louis XVI
At Yalta in 1945, Churchill and Roosevelt met with | Stalin | Hitler | Mussolini | Lenin
The Battle of Midway was fought in the | Pacific | Atlantic | Mediterranean | Baltic

The long rivalry of the United States and the Soviet Union is called the | Cold War | Great War | Boer War | Civil War
The United Nations was founded in | 1945 | 1918 | 1968 | 1989
The United Nations has its main seat in | New York | London | Brussels | Berlin
The American plan to rebuild Europe after 1945 was named after George | Marshall | Washington | Custer | Patton
The Berlin Wall was built in | 1961 | 1933 | 1945 | 1989
The Berlin Wall fell in | 1989 | 1961 | 1945 | 2001
The Korean War began in | 1950 | 1914 | 1969 | 1989
The People's Republic of China was proclaimed in 1949 by | Mao Zedong | Sun Yat-sen | Kublai Khan | Mahatma Gandhi
The communist leader of North Vietnam was | Ho Chi Minh | Mao Zedong | Genghis Khan | Fidel Castro
The leader of the Cuban Revolution was | Fidel Castro | Simón Bolívar | Francisco Franco | Ho Chi Minh
The Cuban Missile Crisis took place in | 1962 | 1941 | 1991 | 1929
The city where President Kennedy was shot was | Dallas | Chicago | New York | Boston
The year in which President Kennedy was shot was | 1963 | 1929 | 1945 | 1989
The speech called I Have a Dream was given by | Martin Luther King | Nelson Mandela | Abraham Lincoln | Mahatma Gandhi
Rosa Parks became famous for not giving up her seat on a | bus | train | plane | boat
The first artificial satellite was called | Sputnik | Apollo | Challenger | Titanic
The first human being in space was | Yuri Gagarin | Neil Armstrong | John Glenn | Buzz Aldrin
The first man to walk on the Moon was | Neil Armstrong | Yuri Gagarin | Charles Lindbergh | Buzz Aldrin
Men first walked on the Moon in | 1969 | 1945 | 1989 | 2001
The first dog to circle the Earth was named | Laika | Lassie | Dolly | Snoopy
The space shuttle that was lost in 1986 was the | Challenger | Discovery | Sputnik | Hindenburg
The president brought down by Watergate was | Richard Nixon | Harry Truman | Franklin Roosevelt | Woodrow Wilson
The first woman to be prime minister of Britain was | Margaret Thatcher | Queen Victoria | Indira Gandhi | Jane Austen
The shape of DNA was found by James Watson and | Francis Crick | Charles Darwin | Louis Pasteur | Isaac Newton
The Beatles came from the city of | Liverpool | Manchester | New York | Dublin
The singer called the King of Rock and Roll was | Elvis Presley | Louis Armstrong | Charlie Chaplin | Frank Sinatra
India became independent in | 1947 | 1847 | 1918 | 1989
In 1947 British India was divided into India and | Pakistan | Tibet | Iran | Cambodia
The first prime minister of independent India was | Nehru | Mandela | Jinnah | Akbar
The system of racial separation in South Africa was called | apartheid | feudalism | communism | prohibition
The first black president of South Africa was | Nelson Mandela | Haile Selassie | Martin Luther King | Idi Amin
Haile Selassie was the emperor of | Ethiopia | Nigeria | Madagascar | Japan
The Congo was once the property of the king of | Belgium | Sweden | Denmark | Norway
Idi Amin was the dictator of | Uganda | Kenya | Egypt | Ghana
The Gold Coast became independent in 1957 under the name of | Ghana | Kenya | Uganda | Ethiopia
In 1994 a terrible genocide took place in | Rwanda | Kenya | Ghana | Morocco
The Iranian Revolution of 1979 drove out the | Shah | Tsar | Kaiser | Pharaoh
In 1990 the army of Iraq invaded | Kuwait | Turkey | Egypt | Jordan
In the Falklands War of 1982, Britain fought against | Argentina | Venezuela | Mexico | Canada
General Pinochet was the dictator of | Chile | Cuba | Mexico | Italy
The trade union called Solidarity was born in | Poland | Spain | Canada | Ireland
The first Polish pope was | John Paul II | Benedict XVI | Pius XII | John XXIII
The last leader of the Soviet Union was | Gorbachev | Stalin | Bismarck | Rasputin
The Soviet Union came to an end in | 1991 | 1917 | 1945 | 1969
The nuclear accident at Chernobyl took place in | 1986 | 1945 | 1917 | 2010
The World Wide Web was invented by | Tim Berners-Lee | Thomas Edison | Albert Einstein | Walt Disney
The sheep that was cloned in 1996 was named | Dolly | Laika | Lassie | Snoopy
Britain gave Hong Kong back to China in | 1997 | 1945 | 1918 | 2010
Euro notes and coins came into use in | 2002 | 1945 | 1969 | 1918
"""


class Fact(NamedTuple):
    """A sentence to complete, its right ending and all four endings, the right one first."""

    prompt: str
    answer: str
    options: tuple[str, ...]


def facts() -> tuple[Fact, ...]:
    """Every fact, in the order of the list. Options after which nothing follows: whole endings of the sentence."""
    rows = (line.strip().split(" | ") for line in FACTS.splitlines() if line.strip())
    return tuple(Fact(prompt, options[0], tuple(options)) for prompt, *options in rows)
