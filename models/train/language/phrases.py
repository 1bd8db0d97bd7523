"""What persons say, by what is meant: templates with {slots}.

A bar or a line's end parts templates, [a,b] is one of these, (a) perhaps.
A template is held out of training by a hash of its text (one in eight), so the same ones are unseen in every run.
"""

TIME = """what time is it (now)|(please) tell me the time|do you know what time it is|what does the clock say
how late is it (now)|i need the [current,exact] time|[give,show] me the [time,clock]
could you tell me what time it is|have you got the time|is it late already|time please
check the clock (for me)|what hour is it|the time (please)|can i have the time|let me know the time
what is the time right now|what time have you got|what is the [current,exact] time|read me the clock|what time do we have
i want to know the time|i want to know what time it is|how late are we|is it [noon,midnight] yet|is it past [noon,midnight,eight]
can you check what time it is|look at the clock|tell me how late it is|current time|time check
i wonder what time it is|what is the clock showing|do you have the time|would you tell me the time
is it after [noon,midnight,nine,ten]|is it already past [ten,seven,noon]|is it before [noon,eight]|is it [eight,ten,noon] already
has midnight passed|is it late|past midnight already|how long until [noon,midnight]|is it [five,six,twelve] o'clock (yet)
what's the time now|do you know the time|what does your clock say|is it time for [lunch,bed,dinner] already"""
DATE = """what [day,date] is (it) today|what is the date (today)|(please) tell me the date
which day of the [week,month] is it|what is today's date|what day do we have|[give,show] me today's date
is it [monday,tuesday,friday,sunday] today|do you know what day it is|which month is it
i need to know the date|the date (please)|what year is it|could you tell me today's date
let me know what day it is|what's today|what day of the [week,month,year] is it|is today [monday,wednesday,saturday]
what is the [current,exact] date|tell me what day it is|what month is it|which year do we have|which date is it
can you tell me the date of today|i want to know today's date|today's date|what weekday is it|look up the date
is it the weekend (already)|is it [january,may,june,december] already|what date do we have
is it saturday|is this a [monday,thursday,sunday]|do we have [monday,friday,wednesday] today|is today the weekend
today is [friday,tuesday] right|is it already [thursday,sunday]|what day is today|which day is today|are we in [march,july,october]
do you know today's date|do you know the date|is today a [weekday,holiday]|is today the [first,third,tenth]"""
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
(please) check if all [nodes,computers] are up|what is the status of the [cluster,nodes,machines,computers]
[cluster,system,node] status|status (report) (please)|how many [computers,nodes,machines,pcs] are [online,up,there,in the cluster]
are the [computers,nodes,machines,pcs] [fine,alright,working,online]|has a [computer,node,machine] [died,crashed,failed,gone away]
how are the [computers,nodes,machines,pcs] (today,doing)|do all [machines,nodes,pcs] work|is [a,one] machine [broken,offline,missing]
run a [health,system] check|tell me about the [cluster,nodes,other computers]|count the [nodes,computers,machines]
any [node,computer,machine] down|which [computer,node,machine] is [off,offline,broken,not there]
did we lose a [node,computer,machine]|is the [system,network] [ok,up,healthy]|what is wrong with the [cluster,computers,nodes]
give me the [health,state] of the [cluster,nodes,system]|list the [nodes,computers,machines] (of the cluster)
are there [problems,troubles] with the [nodes,computers,cluster]|how does the cluster look|are your computers [up,fine,ok]
does everything run (well)|is everything ok with the [computers,nodes,cluster]|is everything ok with the machines
is it all running (well)|is all [well,fine] with the cluster|is everything [up,working,alive,online]|does everything work
do the [computers,nodes,machines] run (fine)|are things running (fine)|is everything in order|how does everything run
how are the other [computers,pcs,nodes]|what about the other [computers,pcs,nodes]|tell me about the [computers,pcs] here|how do the other [computers,pcs] do
tell me more about the [cluster,nodes]|what do the other [computers,nodes] do
what is wrong with the [machines,pcs]|what is not right with the [computers,nodes]|what is the matter with the [cluster,computers,nodes,system]
what is broken in the [cluster,system]|what is wrong in the [cluster,system,network]|is something the matter with the [cluster,nodes]"""
TIMERS = """which [timers,alarms] [are set,run,are running,did i set]|how long is left (on the timer)
show (me) [my,the,all] [timers,alarms]|(are there,do i have) any [timers,alarms] (running,set)
when does the [timer,alarm] [ring,end,go off]|what timers do i have|list [timers,the alarms,my timers]
how much longer (does the timer run)|is [a timer,an alarm,my timer] [running,set,on]
tell me about my [timers,alarms]|how many minutes are left|did i set [a timer,an alarm]
what [alarms,timers] are there|check [my,the] [timer,timers,alarms]|time left on the timer
how much time is left (on my timer)|how many [timers,alarms] are [running,set]|does [a timer,an alarm] run
are there [timers,alarms]|when will the [timer,alarm] ring|is there [a timer,an alarm] (running)|my [timers,alarms] (please)
what is left on the timer|how long until the [timer,alarm] [rings,ends,goes off]|how long does the timer still run
give me (a list of) my [timers,alarms]|read (me) my [timers,alarms]|do i have [a timer,an alarm] [set,running]
what are my [timers,alarms]|status of the timer|how many seconds are left|is the timer still running
how much time do i have left (on the timer)|how much time remains|(the) time remaining|when will my [alarm,timer] go off
at what time does the [alarm,timer] [ring,go off]|when is my [alarm,timer] [over,due]|how much is left on my timer
when do my [timers,alarms] [ring,go off,end]|how much time has the timer|how much longer do i have|when is the time up
how much time is there left|is my alarm on|what is the timer at"""
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
run a timer for {length}|begin a countdown of {length}|wake me up in {length}|timer for {length}|time {length}
[call,ping,warn,tell] me in {length}|the [pizza,cake,pasta,rice,bread] needs {length}|[ring,beep] when {length} have passed
start a countdown [for,of] {length}|set a countdown of {length}|set an alarm [for,in] {length}|remind me after {length}
set a {length1} timer|i want a timer [for,of] {length}|make it ring in {length}|can i have a {length1} timer
add a timer [for,of] {length}|create a {length1} timer|start {length} on the timer|let {length} run|measure {length}
the [noodles,potatoes,cookies] take {length}|in {length} [wake,call,remind,tell] me|after {length} [ring,call me,let me know]
i have {length} [left,for this], set a timer|put the timer on {length}|give me a timer of {length}|a timer [for,of] {length} please"""
VOLUME = """[set,turn,change] (the) volume to {percent} (percent)|make it {percent} percent loud
volume at {percent} (percent)|speak at {percent} percent|i want {percent} percent volume
put the [volume,sound] [at,to] {percent} (percent)|sound level {percent}
[change,set] your loudness to {percent}|(please) set your voice to {percent} percent
{percent} percent volume (please)|could you put the volume on {percent}|bring the volume to {percent}
adjust the [volume,sound] to {percent} (percent)|raise the volume to {percent}|lower the volume to {percent}
loudness {percent} (percent)|volume {percent} (percent)|volume to {percent} (percent)|talk at {percent} percent
[turn,bring] it [up,down] to {percent} percent|make the [volume,sound] {percent} percent|set the sound [level,volume] to {percent}
i would like the volume at {percent}|be {percent} percent loud|[reduce,increase] (the) volume to {percent} (percent)
set the loudness [to,at] {percent} (percent)|volume of {percent} percent|change the sound to {percent} percent
speak with {percent} percent volume|turn the [sound,speaker] to {percent} (percent)|turn your voice [up,down] to {percent}
be [as loud as,at] {percent} percent|be loud at {percent} percent|be [quiet,quieter] at {percent} percent
i want you {percent} percent loud|{percent} percent loud (please)|loud to {percent} percent"""
SUM = """what is {sum}|how much is {sum}|(please) calculate {sum}|work out {sum}|compute {sum}|what does {sum} make
(tell me) {sum}|{sum} is what|can you work out {sum}|what do i get for {sum}|i need the result of {sum}
do the sum {sum}|solve {sum}|figure out {sum}|how much would {sum} be|what's {sum}|give me {sum}
what is the answer to {sum}|could you calculate {sum}|result of {sum}|{sum} makes what|{sum} equals (what)
what is the result of {sum}|tell me what {sum} is|do you know what {sum} is|can you tell me {sum}|how many is {sum}
what do you get for {sum}|help me with {sum}|please do {sum}|i want to know what {sum} is|what would {sum} be
how much does {sum} make|what comes out of {sum}|quick, {sum}|math question, what is {sum}|what will {sum} be
do this sum {sum}|work the sum {sum} out|a sum for you, {sum}|take the sum {sum}|do {sum}|the sum {sum} (please)|here is a sum, {sum}
find the sum {sum}|make the sum {sum}|the result of {sum} (please)|what is the sum {sum}|do the math {sum}|do the calculation {sum}
calculate the sum {sum}|run the numbers {sum}|add up {sum}|can you do the sum {sum}|i have a sum, {sum}|compute the result of {sum}
the answer to {sum} (please)|how do i get {sum}|try {sum}|please work out {sum}|use the calculator for {sum}|type {sum} into the calculator"""
SAY = """say {words}|say {words} [aloud,out loud]|announce {words}|please say {words}|announce that {words}
tell everybody {words}|read this out, {words}|speak the words {words}|say this aloud, {words}
make an announcement, {words}|call out {words}|say to everyone {words}|let the [room,house] know {words}
could you say {words}|speak out {words}|tell everyone that {words}|say out loud {words}|say aloud {words}
i want you to say {words}|repeat after me, {words}|say the [words,sentence] {words}|tell the [room,family,kids,house] {words}
announce to everybody that {words}|let everybody know that {words}|can you say {words}|announce the following, {words}
just say {words}|would you say {words}|shout {words}|pronounce {words}|tell them {words}|make the announcement that {words}
the announcement is {words}|announcement {words}|please make this announcement {words}|make an announcement that {words}
announce to all {words}|announce to all that {words}|make it known that {words}|here is an announcement, {words}|announce aloud {words}
say this {words}|say this to everybody {words}|tell all of them {words}|let them know that {words}|tell everyone {words}
use your voice to say {words}|speak {words}|please speak this {words}|please tell everybody that {words}|say that {words}
the message is {words}|my announcement is {words}|the words are {words}|the text is {words}|my message to all is {words}|the sentence is {words}
this is an announcement, {words}|an announcement, {words}|announce it, {words}|message to everybody, {words}|the following is to be said, {words}
what you say is {words}|the news is {words}|new announcement {words}|give the announcement {words}|please announce that {words}
i want to announce {words}|i want to announce that {words}|could you announce that {words}|have everybody know that {words}
spread the word that {words}|speak the sentence {words}|i want everybody to know that {words}|make them hear {words}|read aloud {words}
spread the news that {words}|spread the message that {words}|spread it that {words}|spread the word, {words}|bring the word to all that {words}
spread to everybody that {words}|send the word round that {words}|pass on that {words}|pass on the word that {words}|give the word that {words}
the announcement today is {words}|our announcement is {words}|his message is {words}
the next announcement is {words}|announcement is {words}|the warning is {words}"""
SEARCH = """search (my,the) documents for {topic}|look [in,through] [my,the] documents for {topic}
do my documents [mention,say something about] {topic}|find {topic} in [my,the] documents
what do my documents say about {topic}|is there anything on {topic} in my documents
search for {topic} in my papers|which document is about {topic}|look up {topic} in the documents
find the papers about {topic}|check my documents for {topic}|show me documents about {topic}
search my [files,papers,notes] for {topic}|is there a document about {topic}|find documents [on,about,with] {topic}
look for {topic} in [my,the] [documents,papers]|search through my documents for {topic}|do i have [papers,documents] about {topic}
what is in my documents about {topic}|where do my [papers,documents] mention {topic}|find my [papers,documents] on {topic}
what do my papers say about {topic}|search the papers for {topic}|go through my documents for {topic}
find out what my documents say about {topic}|look {topic} up in my [documents,papers]|any document about {topic}
documents about {topic}|documents about {topic} please|show my documents on {topic}|show me papers about {topic}|what do the documents say about {topic}
do my documents say anything about {topic}|what is said about {topic} in my documents|show me what my documents say about {topic}"""
FILES = """which files [are in,has,does] (my,the) workspace (have)|list (the,my,all) files
show (me) the files of the workspace|what is in (the,my) workspace|what files do i have|list the workspace
show the folder|which files are there|give me a list of files|tell me which files there are
list (all) files (of,in) the workspace|what files are there in the [workspace,folder]|show (me) (all,my,the) files
what is in the folder|list the folder|files of the workspace
how many files are there|name the files|do i have files in the workspace|read me the list of files
what does the [workspace,folder] [contain,hold,have]|what [files,things] does the [workspace,folder] contain
which files does my workspace contain|contents of the [folder,workspace]|what lies in the [workspace,folder]"""
READ = """read the file {file}|open the file {file}|show me (the file) {file}|what is in (the file) {file}
what does {file} say|read {file} to me|print the file {file}|let me see {file}|read out the file {file}
what stands in {file}|display {file}|read (me) {file}|open {file}|show {file}|what does the file {file} contain
read me the file {file}|can you [open,read] {file}|i want to [see,read,hear] {file}|tell me what is in {file}
please read {file}|what is written in {file}|show the contents of {file}|get the file {file}|look into {file}
read the text file {file}|what does the text {file} say|read out {file}|read out the text {file}|what is said in {file}|say what is in {file}
tell me what {file} says|what does my file {file} say|open the text {file}|the file {file} please"""
CHANGES = """what changed in the workspace|which files (have) changed|show [my,the] changes|git status
is anything changed in the workspace|are there changes (in the workspace)|did i change a file
which files are new|show what i changed|what did i change|what has changed|has anything changed in the workspace
did anything change (in the workspace)|what is new in the workspace|tell me what changed|list the changed files
which files did i [change,edit]|show the changed files|what is not committed|are there uncommitted changes
are there any changes|are there uncommitted files|do i have uncommitted changes|any uncommitted changes
what did change|show uncommitted changes|is something uncommitted|what does git status say|run git status"""
COMMITS = """show the last [changes,commits] of the workspace|git log|what were the last commits|list the commits
show me the history of the workspace|who changed the workspace last|the last commits please
history of the workspace|show (me) the (last,latest) commits|which commits are there|what was committed last
read (me) the last commits|what is the last commit|list the history (of the workspace)|tell me the last commits
what happened in the workspace lately|who made the last commit|commit history|show the git [log,history]
(show,give) me the git log|what does git log say|run git log|git log please|read the git log|the git log
look at the git log|what is in the git log|print the log of git|list the git log|git history
log of git (please)|the log of git|read the log of git|what is in the log of git|print the git log|print the commits|print the last commits"""

# What needs no tool, with what is answered.
TALK = {
    "Hello. What can I do for you?": """hello|hi|hi there|hey|hello (there,computer,duet)|good [morning,evening,afternoon,day]|greetings|howdy
nice to [meet,see] you|hey there (duet)|hello again|yo|welcome back|hiya|hello my friend|hi [duet,computer]
good [morning,evening] [duet,computer]|hey [computer,you]|hello hello|is anybody there|are you there|hello old friend
greetings [duet,computer,my friend]|a good [morning,day,evening] to you|hello you|hi again|hey hey|hi computer|hey duet are you there
are you awake|wake up|i am back|i am home|here i am|good to see you|nice meeting you|hello everybody|hello old computers""",
    "I am well, thank you. How can I help?": """how are you (today,doing)|how do you do|how is it going|are you well|how do you feel|what's up
how have you been|is everything good with you|are you fine|how are things|how is your day (going)|how are you feeling (today)
are you ok|how's life|are you doing well|is all well with you|how do you feel today|you doing alright
how are you getting on|how do things go|how goes it|are things going well|did you sleep well|how was your [day,night]
i hope you are well|are you happy|are you tired|are you feeling well|how have you been doing""",
    "I am duet, a small voice on old computers in this house.": """
who are you|what are you|what is your name|tell me who you are|introduce yourself|what should i call you
do you have a name|who am i talking to|what are you called|who is speaking|your name please|who is duet
say your name|tell me about yourself|what is duet|how do i call you|may i know your name|what do they call you
tell me what you are|can you tell me who you are|i want to know who you are|describe yourself|who is this|what was your name again
may i ask who you are|what exactly are you|who is talking (to me)|whom do i talk to
who might you be|who exactly are you|so who are you|and you are|who is there|who am i speaking with|what is this|what are you then
do you know who you are|please say who you are|let me know who you are|whose voice is this|what is your full name
who is it|who is that|who's talking|tell me your name|give me your name|state your name""",
    "I am a program, a very small language model on old computers.": """
are you [a robot,a bot,human,a computer,real,alive,a person,a machine]|are you an ai
am i talking to a [person,machine,human]|do you have feelings|are you a real person|is this a human
what kind of model are you|how big are you|are you intelligent|what are you made of|are you just a [program,machine,computer]
are you smart|do you think|can you think|what model are you|are you a language model|are you artificial
is this a [robot,machine,computer,real person]|what kind of [program,machine,thing] are you|do you have a [body,brain,soul]
are you [a program,a model,software,a chatbot]|do you have a mind|are you [clever,conscious,alive]|can you feel (anything)|do you dream
how does your brain work|how large is your model|how many parameters do you have|are you some kind of [robot,machine]
is there a person behind you|do i talk to a computer|am i speaking to a [robot,machine,computer]|what sort of thing are you""",
    "I can tell the time and date, set timers, work sums out, set the volume, search your documents and say how the cluster is.": """
what can you do|help|help me|can you help me|what can i ask (you)|what do you know|what are you good for
how can you help (me)|which commands are there|what are your [abilities,skills,tools]|what should i say
what do you understand|i need help|what can i say|what things can you help me with|give me some examples
how do i use you|list your commands|what questions can you answer|what do you do|what are you able to do
tell me what you can do|what can i do here|how does this work|what is possible (here)|how may i use you|what can you do for me
i do not know what to say|what shall i ask|show me what you can do|please help (me)|what are my options|how do i talk to you
what do you offer|what are your functions|what else can you do|tell me your commands|what are you for|what is your purpose
i want help|could you help me|give me help|how can i use this|what works here|help please|what can i tell you
what kinds of things do you know|what are you capable of|explain what you can do|how do i speak to you|any tips""",
    "I was trained on this project's own computers by its own scripts.": """
who made you|who built you|who created you|who is your maker|where do you come from|where are you from
who [wrote,programmed,designed,trained,invented] you|who brought you up|what company made you
who do you work for|who is your boss|how were you made|who owns you|who is your [creator,father,mother,owner,developer]
when were you [made,born,built]|how old are you|who is behind you|which company are you from|where were you [made,born,trained]
how did you learn [to speak,this]|who taught you|tell me who made you|by whom were you made
who is your mother|who gave you life|who brought you here|who coded you|who put you together|who developed you|what made you
where did you learn (that)|where do you originate from|what is your origin|how did you come to be|how long have you existed
when did they build you|what is your [age,birthday]|who are your [makers,parents,owners,creators]|which people made you""",
    "I run on the computers of this house, and nothing you say leaves it.": """
where are you|where do you [live,run]|where is my data|do you send my [words,voice,data] away
is this private|who hears [me,us]|are you listening (to me)|do you record me|do you need the internet
are you in the cloud|is my data safe|can anybody hear this|where are you running|do you spy on me|is somebody listening
where do my [words,data] go|does anybody hear me|do you work without the internet|what happens to my [data,words,voice]
do you store what i say|are you on the internet|is this recorded|do you keep my data private|where is your home
what do you do with my [data,words,voice]|is my [voice,data] sent [away,out,somewhere]|are my words [stored,recorded,kept,sent away]
where does my voice go|who can see my data|who gets my data|do you send anything to the internet|can you be spied on
is my voice recorded|do you share my [data,words]|does my data leave the house|does anyone listen|who is listening
are you listening|are you listening now|can others hear what i say|do you keep what i say|is it safe to talk to you
what about my privacy|do you respect my privacy|is this safe|are we private|are you online|where do you stand|where are you located
on which computer do you run|which computers do you run on|do you upload my [data,voice]|do you tell others what i say""",
    "You are welcome.": """thank you|thanks|thank you very much|thanks a lot|many thanks|thanks for [the,your] help|that was helpful
i appreciate it|great, thanks|thank you so much|cheers|very kind of you|thanks [duet,computer]|thank you [duet,computer]
i thank you|thanks for that|perfect, thank you|ok thanks|you helped me|much appreciated|that is kind of you
thanks so much|thank you kindly|that helped|you are a great help|thanks again|thanks buddy|ok thank you|thank you that was great
a thousand thanks|i owe you|that was very helpful|good thanks|nice thank you|thanks that is all i needed|great thank you""",
    "Goodbye.": """goodbye|bye|bye bye|see you (later,tomorrow,soon)|good night|farewell|until tomorrow|i am leaving
talk to you later|that is all (for now)|have a nice [day,evening]|take care|later|i have to go (now)|goodbye [duet,computer]
bye [duet,computer]|see you then|so long|i am off|we are done (here)|good night [duet,computer]|until next time
i am going (now)|i'm off now|i am leaving now|i go to bed|off to bed|see you soon|bye for now|bye then|catch you later|until then
i must go|time to go|good bye|have a good [day,night,one]|sleep well|talk to you soon|we speak later|i will be back later|signing off""",
    "Why did the node cross the network? To be on the other side.": """
tell me a joke|do you know a joke|make me laugh|say something funny|i want to hear a joke|another joke
joke please|can you be funny|tell me something funny|know any jokes|a joke (please)|tell [a,another,one more] joke
do you know any (good) jokes|can you tell (me) a joke|got a joke for me|be funny|give me a joke|entertain me
amuse me|cheer me up|i need a laugh|i want to laugh|tell me a good one|something funny please|do you have a joke|your best joke
please entertain me|can you entertain me|are you funny|say a joke|let me hear a joke|jokes please|one joke please|make a joke""",
    "I am sorry to hear that.": """i am [sad,tired,sick,unhappy,lonely,bored,angry]|i feel [bad,sad,terrible,tired,ill,lonely]|i had a bad day
today was terrible|i am not well|i do not feel good|life is hard|my day was awful|i am so [sad,tired,lonely]
i feel so [bad,alone,sad]|i am not [happy,feeling well]|nobody likes me|i am afraid|everything is bad|i am in pain
my [head,back] hurts|i lost my job|i am depressed|i cannot sleep|i am stressed
i am very [sad,tired,sick,unhappy]|i feel [down,low,awful,sick,lost]|i am having a bad [day,time,week]|i had a terrible [day,night]
i am not feeling [well,good]|i am not ok|i am hurt|i am worried|i am scared|i miss my [friend,mother,dog]|my [dog,cat,friend] died
i have a [headache,cold,fever]|i am heartbroken|nothing works for me|i failed (my exam)|i am crying|i am exhausted|i hate my [life,day,job]""",
    "I am glad to hear that.": """i am [happy,fine,great,good,well]|i feel [good,great,fine,wonderful]|i had a great day|today was wonderful
everything is fine|life is good|i am doing well|i love this|you are [great,good,funny,smart,nice]|well done
good job|i like you|i am (very,so) happy|that is [great,good,nice,wonderful]|i am in a good mood|you are the best
i love you|great work|that was [great,good,nice]|my day was [good,great]|you did well|very good
i am [so,really] [happy,glad,pleased]|i am feeling [good,great,better]|i am [okay,alright,excited,pleased,proud]|i won|i passed (my exam)
you are [wonderful,amazing,clever,kind,sweet,right]|nice work|good work|nicely done|that is [amazing,fantastic,perfect,excellent,cool]
all is well|all is good|things are [good,great,fine]|i had a good [day,night,time]|i like that|i like it|i love it|awesome|great|wonderful|excellent""",
    "I am sorry. I will leave that to a larger model.": """
you are [wrong,stupid,bad,useless,dumb]|that was wrong|that is not what i [asked,meant,wanted]
no that is wrong|you do not understand me|that makes no sense|wrong answer|this is nonsense
you misunderstood|you did not listen|that is [wrong,nonsense,not right,false]|you are not [smart,helpful,listening]
i hate you|shut up|that was [bad,stupid,nonsense]|you got that wrong|i did not say that|this is useless|be quiet
that is [stupid,bad,useless,rubbish,terrible]|this is [wrong,bad,stupid,rubbish]|that was [useless,false,not right,not it,rubbish]
you are [not right,mistaken,terrible,annoying,no help]|no i meant something else|i did not ask that|i did not mean that|not that
that is not it|you heard wrong|you heard me wrong|stop talking|stop that|silence|quiet please|hush|you make no sense|what nonsense
that did not help|that is no help|i do not like you|you failed|wrong|bad answer|try harder""",
    "All right.": """yes|no|okay|ok|sure|maybe|of course|all right|yes please|no thanks|not now|perhaps|fine|never mind
i think so|right|exactly|yeah|nope|i agree|sounds good|no thank you|yes of course|i do not think so|certainly|absolutely
not really|forget it|it does not matter|let it be|that is right|correct|as you like|i do not care|whatever
just leave it|it is ok|it is fine|that is ok|no problem|no worries|why not|i guess|i suppose (so)|if you like|as you wish|do as you like
i do not mind|never mind that|no never mind|cancel that|let us see|we will see|yes indeed|true|agreed|definitely|of course not|no way|not at all
understood|got it|i see|i know|good|okay then|ok good|alright|hm|well|so be it|either way""",
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
which {thing} is the [best,oldest,largest]|do you like {thing}|what time is it in [paris,london,tokyo,new york,china]
what is the time in [rome,berlin,india,{word}]|what time do they have in [madrid,{word}]|time in [moscow,boston,{word}]
how late is it in {thing}|the time in [tokyo,{word}] please
what do you think about {thing}|what is {thing} [made of,used for,worth]|where can i [find,buy,see] {thing}
why do [people,we,cats,birds] [like,need,eat,fear] {thing}|what are {word}|what is a {word}|who is {person}
how many {word} are [there,in {thing}]|who was the first {word}|do you have a [favorite,favourite] {word}
what kind of {word} do you like|have you (ever) [seen,heard of,read,been to] {thing}|is it true that {thing} is {adjective}
when is the next {word}|who discovered {thing}|how was {thing} [made,found,born]|what is your favorite {word}
can a {word} [fly,swim,think,speak]|what is the [largest,smallest,fastest,oldest] {word}|what do {word} eat
define {word}|what is the [population,size,weight,temperature,age] of {thing}|where did {thing} come from
how do you [make,spell,play,say] {word}|are there {word} in {thing}|does {thing} have {word}|what causes {thing}""",
    CANNOT: """[order,buy,sell,book,pay for] {thing}|call {person}|send [a message,an email] to {person}
play (some,the) [music,radio,song,{thing}]|turn [on,off] the [light,lamp,heating,fan,oven,tv]
book a [flight,hotel,table,taxi]|open the [door,window,garage,gate]|transfer money to {person}
take a [note,photo]|drive me to {thing}|make me a [coffee,sandwich,tea]|lock the door
put {thing} on my [list,calendar]|cancel my [order,flight,meeting]|text {person} that i am late
switch [on,off] the {thing}|invite {person}|schedule a meeting with {person}|find my phone
turn the [lights,heating,music,tv] [on,off,down]|dim the lights|close the [door,window,blinds]|start the [car,washing machine,robot]
play [a game,chess,jazz,my playlist]|write an email to {person}|buy me {thing}|reserve a table|add {word} to my [list,calendar]
clean the [house,kitchen]|feed the [dog,cat]|sing (me) a song|print {thing}|pay my bills|order a {word}|draw a {word}""",
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
