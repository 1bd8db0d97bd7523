"""What persons say, by what is meant: templates with {slots}.

A bar or a line's end parts templates, [a,b] is one of these, (a) perhaps.
A template is held out of training by a hash of its text (one in eight), so the same ones are unseen in every run.
"""

TIME = """what time is it (now)|(please) tell me the time|do you know what time it is|what does the clock say
how late is it (now)|i need the [current,exact] time|[give,show] me the [time,clock]
could you tell me what time it is|have you got the time|is it late already|time please
check the clock (for me)|what hour is it|the time (please)|can i have the time|let me know the time
what is the time right now"""
DATE = """what [day,date] is (it) today|what is the date (today)|(please) tell me the date
which day of the [week,month] is it|what is today's date|what day do we have|[give,show] me today's date
is it [monday,tuesday,friday,sunday] today|do you know what day it is|which month is it
i need to know the date|the date (please)|what year is it|could you tell me today's date
let me know what day it is|what's today"""
STATUS = """(is,are) every [node,computer,pc,machine] [ok,fine,up,running,healthy]
how is the [cluster,house of computers,system,network] doing
which [nodes,computers,pcs,machines] are [online,up,running,alive,there,missing,down,away]
are all [nodes,computers,pcs,machines] [online,up,ok,here]
how many [nodes,pcs,machines,computers] [answer,work,are with us] (now)
show me the [cluster,system,node] status|give me a status report
is [anything,something] wrong with the [cluster,computers,nodes,system]
does every [node,computer,machine] answer|is any [node,computer,pc] down
what is the state of the [cluster,system,computers]|check the [cluster,nodes,computers,system]|health check
is the cluster [healthy,ok,fine,alive]|report on the [cluster,nodes,computers]
tell me how the [computers,nodes,machines] are|did a [node,computer,pc] fail|who is in the cluster
are we missing a [node,computer,pc]|how healthy [are the nodes,is the cluster]|how are you all doing
is everything running (fine)|i want to know how the [cluster,nodes,computers] [is,are] doing
(please) check if all [nodes,computers] are up"""
TIMERS = """which [timers,alarms] [are set,run,are running,did i set]|how long is left (on the timer)
show (me) [my,the,all] [timers,alarms]|(are there,do i have) any [timers,alarms] (running,set)
when does the [timer,alarm] [ring,end,go off]|what timers do i have|list [timers,the alarms,my timers]
how much longer (does the timer run)|is [a timer,an alarm,my timer] [running,set,on]
tell me about my [timers,alarms]|how many minutes are left|did i set [a timer,an alarm]
what [alarms,timers] are there|check [my,the] [timer,timers,alarms]|time left on the timer"""
TIMER = """set a timer [for,of,to] {length}|(please) start a {length1} timer|i need a timer [for,of] {length}
wake me in {length}|timer {length}|remind me in {length}|count down {length}|count {length} down (please)
let me know [in,after] {length}|ring (the bell) in {length}|give me {length}
could you time {length} (for me)|i need a {length1} timer|tell me when {length} are over
set the timer to {length} please|put {length} on the clock|new timer for {length}|make a timer of {length}
start counting {length}|can you [start,set] a timer for {length}|alert me in {length}
i want to be called in {length}|the eggs need {length}|my tea takes {length}, set a timer
set {length} on the timer|buzz me [after,in] {length}|start the timer for {length} now
set a timer that [rings,goes off] in {length}|have a timer ring in {length}|please time me for {length}
set an alarm in {length} from now|would you set a {length1} timer for me|{length1} timer (please)
run a timer for {length}"""
VOLUME = """[set,turn,change] (the) volume to {percent} (percent)|make it {percent} percent loud
volume at {percent} (percent)|speak at {percent} percent|i want {percent} percent volume
put the [volume,sound] [at,to] {percent} (percent)|sound level {percent}
[change,set] your loudness to {percent}|(please) set your voice to {percent} percent
{percent} percent volume (please)|could you put the volume on {percent}|bring the volume to {percent}
adjust the [volume,sound] to {percent} (percent)|raise the volume to {percent}|lower the volume to {percent}
loudness {percent} (percent)"""
SUM = """what is {sum}|how much is {sum}|(please) calculate {sum}|work out {sum}|compute {sum}|what does {sum} make
(tell me) {sum}|{sum} is what|can you work out {sum}|what do i get for {sum}|i need the result of {sum}
do the sum {sum}|solve {sum}|figure out {sum}|how much would {sum} be|what's {sum}|give me {sum}
what is the answer to {sum}|could you calculate {sum}|result of {sum}"""
SAY = """say {words}|say {words} [aloud,out loud]|announce {words}|please say {words}|announce that {words}
tell everybody {words}|read this out, {words}|speak the words {words}|say this aloud, {words}
make an announcement, {words}|call out {words}|say to everyone {words}|let the [room,house] know {words}
could you say {words}|speak out {words}"""
SEARCH = """search (my,the) documents for {topic}|look [in,through] [my,the] documents for {topic}
do my documents [mention,say something about] {topic}|find {topic} in [my,the] documents
what do my documents say about {topic}|is there anything on {topic} in my documents
search for {topic} in my papers|which document is about {topic}|look up {topic} in the documents
find the papers about {topic}|check my documents for {topic}|show me documents about {topic}"""
FILES = """which files [are in,has,does] (my,the) workspace (have)|list (the,my,all) files
show (me) the files of the workspace|what is in (the,my) workspace|what files do i have|list the workspace
show the folder|which files are there|give me a list of files|tell me which files there are"""
READ = """read the file {file}|open the file {file}|show me (the file) {file}|what is in (the file) {file}
what does {file} say|read {file} to me|print the file {file}|let me see {file}|read out the file {file}
what stands in {file}|display {file}"""
CHANGES = """what changed in the workspace|which files (have) changed|show [my,the] changes|git status
is anything changed in the workspace|are there changes (in the workspace)|did i change a file
which files are new|show what i changed"""
COMMITS = """show the last [changes,commits] of the workspace|git log|what were the last commits|list the commits
show me the history of the workspace|who changed the workspace last|the last commits please
history of the workspace"""

# What needs no tool, with what is answered.
TALK = {
    "Hello. What can I do for you?": """hello|hi|hi there|hey|hello (there,computer,duet)|good [morning,evening,afternoon,day]|greetings|howdy
nice to [meet,see] you|hey there (duet)|hello again|yo|welcome back|hiya""",
    "I am well, thank you. How can I help?": """how are you (today,doing)|how do you do|how is it going|are you well|how do you feel|what's up
how have you been|is everything good with you|are you fine|how are things""",
    "I am duet, a small voice on old computers in this house.": """
who are you|what are you|what is your name|tell me who you are|introduce yourself|what should i call you
do you have a name|who am i talking to|what are you called|who is speaking|your name please|who is duet
say your name""",
    "I am a program, a very small language model on old computers.": """
are you [a robot,a bot,human,a computer,real,alive,a person,a machine]|are you an ai
am i talking to a [person,machine,human]|do you have feelings|are you a real person|is this a human
what kind of model are you|how big are you|are you intelligent|what are you made of""",
    "I can tell the time and date, set timers, work sums out, set the volume, search your documents and say how the cluster is.": """
what can you do|help|help me|can you help me|what can i ask (you)|what do you know|what are you good for
how can you help (me)|which commands are there|what are your [abilities,skills,tools]|what should i say
what do you understand|i need help|what can i say|what things can you help me with|give me some examples
how do i use you|list your commands|what questions can you answer""",
    "I was trained on this project's own computers by its own scripts.": """
who made you|who built you|who created you|who is your maker|where do you come from|where are you from
who [wrote,programmed,designed,trained,invented] you|who brought you up|what company made you
who do you work for|who is your boss|how were you made|who owns you""",
    "I run on the computers of this house, and nothing you say leaves it.": """
where are you|where do you [live,run]|where is my data|do you send my [words,voice,data] away
is this private|who hears [me,us]|are you listening (to me)|do you record me|do you need the internet
are you in the cloud|is my data safe|can anybody hear this|where are you running""",
    "You are welcome.": """thank you|thanks|thank you very much|thanks a lot|many thanks|thanks for [the,your] help|that was helpful
i appreciate it|great, thanks|thank you so much|cheers|very kind of you""",
    "Goodbye.": """goodbye|bye|bye bye|see you (later,tomorrow,soon)|good night|farewell|until tomorrow|i am leaving
talk to you later|that is all (for now)|have a nice [day,evening]|take care|later""",
    "Why did the node cross the network? To be on the other side.": """
tell me a joke|do you know a joke|make me laugh|say something funny|i want to hear a joke|another joke
joke please|can you be funny|tell me something funny|know any jokes""",
    "I am sorry to hear that.": """i am [sad,tired,sick,unhappy,lonely,bored,angry]|i feel [bad,sad,terrible,tired,ill,lonely]|i had a bad day
today was terrible|i am not well|i do not feel good|life is hard|my day was awful""",
    "I am glad to hear that.": """i am [happy,fine,great,good,well]|i feel [good,great,fine,wonderful]|i had a great day|today was wonderful
everything is fine|life is good|i am doing well|i love this|you are [great,good,funny,smart,nice]|well done
good job|i like you""",
    "I am sorry. I will leave that to a larger model.": """
you are [wrong,stupid,bad,useless,dumb]|that was wrong|that is not what i [asked,meant,wanted]
no that is wrong|you do not understand me|that makes no sense|wrong answer|this is nonsense
you misunderstood|you did not listen""",
    "All right.": """yes|no|okay|ok|sure|maybe|of course|all right|yes please|no thanks|not now|perhaps|fine|never mind
i think so|right|exactly|yeah|nope|i agree|sounds good""",
}
DUNNO = "I do not know that. I am only the small model that is always here; a larger one may know."
CANNOT = "I cannot do that. I can tell the time, set timers, work sums out and say how the cluster is."
UNKNOWN = {
    DUNNO: """[who,what,where] [is,was] {thing}|what do you know about {thing}|why is {thing} {adjective}
how [does,did] {thing} work|when [was,did] {thing} [built,begin,end]|explain {thing} (to me)
tell me about {thing}|how [old,large,tall,heavy,expensive] is {thing}
who [invented,wrote,painted,won] {thing}|what is the [capital,price,colour,history,meaning] of {thing}
how many [people,countries,legs,stars] [has,have,are in] {thing}|is {thing} {adjective}
what is the difference between {thing} and {thing}|how do i [cook,repair,clean,build] {thing}
what will the weather be like (tomorrow,tonight)|will it rain (today,tomorrow)|what is the news
how hot is it outside|who will win the election|what is the best {thing}|give me a recipe for {thing}
translate {thing} into [french,german,spanish]|what does {thing} mean|how far is {thing}
write a poem about {thing}|what [rhymes with,is like] {thing}|can you explain {thing}
did {thing} really happen|should i [buy,eat,trust] {thing}|what happened to {thing}
which {thing} is the [best,oldest,largest]|do you like {thing}""",
    CANNOT: """[order,buy,sell,book,pay for] {thing}|call {person}|send [a message,an email] to {person}
play (some,the) [music,radio,song,{thing}]|turn [on,off] the [light,lamp,heating,fan,oven,tv]
book a [flight,hotel,table,taxi]|open the [door,window,garage,gate]|transfer money to {person}
take a [note,photo]|drive me to {thing}|make me a [coffee,sandwich,tea]|lock the door
put {thing} on my [list,calendar]|cancel my [order,flight,meeting]|text {person} that i am late
switch [on,off] the {thing}|invite {person}|schedule a meeting with {person}|find my phone""",
}
THING = """the moon|the sun|paris|france|the eiffel tower|a volcano|napoleon|a tiger|gravity|a black hole
the roman empire|chess|a violin|the stock market|an atom|mars|shakespeare|the ocean|a heat pump|red wine
a mushroom|the president|the queen|einstein|a computer virus|photosynthesis|the world cup|a guitar
my grandmother|a bicycle|the bible|a bank account|pizza|an apple pie|the second world war|the internet
democracy|a mortgage|electricity|a whale|the amazon|tokyo|love|a dream|insulin|the speed of light
a credit card|the universe|bitcoin|football|a rainbow|the human heart|a tax return|a spider|mount everest
a cactus|algebra|a transistor|jazz|the titanic|beethoven|a diesel engine|yeast|the great wall""".replace(
    "\n", "|"
).split("|")
ADJECTIVE = (
    "blue|old|dangerous|important|large|famous|healthy|expensive|cold|round|loud|safe|free|rare".split("|")
)
PERSON = "my mother|anna|john|the doctor|my boss|my brother|the landlord|peter|maria|my friend|the bank|susan".split(
    "|"
)
WORDS = """dinner is ready|the train is late|come down please|the food is on the table|good morning everybody
the door is open|i am home|please be quiet|the post is here|it is time for bed|the water is hot
we leave in ten minutes|grandma is on the phone|lunch is served|the dog needs a walk|the meeting begins now
coffee is ready|wash your hands|the bus is here|somebody is at the door|the cake is done|happy birthday
the washing is done|we need milk|the game is on|call the doctor|the window is open|school is over""".replace(
    "\n", "|"
).split("|")
TOPIC = """the heating|the contract|the landlord|insurance|the boiler|my passport|the rent|the washing machine|taxes
the garden|recipes|the car|the router|electricity bills|the warranty|the school|holidays|the roof
the invoice|passwords|the dentist|the bank|the kitchen|my salary|the will|the printer|solar panels
the water meter|vaccinations|the mortgage""".replace("\n", "|").split("|")
FILE = """notes|today|shopping|todo|letter|plan|readme|diary|budget|report|list|ideas|journal|menu|contacts|draft
minutes|recipe|log|summary""".replace("\n", "|").split("|")
