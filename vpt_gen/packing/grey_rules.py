"""Rules of the gray source: excluded pictures (digits, writing) and classes of the others.

The demo's target data set is digits: a source that has seen them would not test transfer. A picture
is identified by its source, "animals", "icons" or "clipart", and its path in that source's archive.
"""

import math
import re


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Icon families (first word of the name) large enough for a class; the rest is "outline".
ICON_FAMILIES = _words("""
align arrow arrows border building camera chart circle cloud device eye folder heart home layout
lock mail map message mood navigation photo shield shopping square user world
""")
# Clip-art folders too small for a class: together they are "misc".
SMALL_FOLDERS = _words("buttons containers decorations education electronics science unsorted")

# Icon words (between dashes) and whole icon names that draw digits, letters or writing, or signs
# easily read as one. A digit in a name drops the icon too, and so does a word of one letter other
# than x (a cross).
ICON_WORDS = _words("""
abacus abc ad ai alarm alert alpha alphabet alt ammeter ampersand api article asterisk at auto
automatic badge baseline beta binary bitcoin blockquote bmp bold brand businessplan calculator
calendar cash ce certificate chlorine clock coin confucius cookie copyleft copyright creative csv
currency decimal dice discount dollar east emphasis euro exclamation explicit exposure eye-table
favicon file first formatting function gif hash hdr heading helicopter-landing help history hospital
hotel-service html http id infinity info input invoice italic jpg json kerning keyboard keyframes
label lambda language last letter letters live logic lte markdown math medal meter microfrontends
money moneybag motor news nfc north number numbers om omega once overline parking password paywall
pdf percentage pilcrow png pound prescription prompt puzzled question quote receipt registered
relation report rights root rss rupee scoreboard sd sdk section seo serverless servicemark sign
signature sort sos south spacing sport sql stopwatch strikethrough subscript subtitles sum
superscript svg tallymarks tax temperature terminal tex text thermometer tic time timezone tip-jar
toml trademark txt typeface typography uhd underline unknown usb uv ux variable vip voltmeter vs
watch west writing www xbox xd xxx yen yuan zip zodiac zzz
""")

# Clip-art folders of letters, digits and writing (cards and dice carry counts, computer icons are
# full of captions), of flags that spell letters, and of paper textures that are no drawings.
CLIPART_FOLDERS = _words("""
logos special computer/icons computer/diagrams office/telephone recreation/games
signs_and_symbols/clocks signs_and_symbols/flags/semaphore signs_and_symbols/led
signs_and_symbols/money transportation/roadsigns
""")
# Words of clip-art file names that suggest writing or digits (in the artists' languages: English,
# Italian, French).
CLIPART_WORDS = _words("""
advertising barcode bible birthday book books box calcolatrice calculator card cassa cell
certificate compass copyright cronometro currency dartboard diagram diagramma dice digital euro font
formula handphone istogramma kanji key keyb keyboard lettera map metro money newspaper number phone
postage probability rating record records rss sign stamp tabella temperature template thermometer
ticket time txt
""")
# Clip art with these beginnings of file names holds writing or digits: found by looking at every
# picture that the other rules keep. (A few show "Linked Image Not Found" or have no place in a
# demo.)
CLIPART_SEEN = _words("""
2_dead_frogs 8ball 8port_switch Motorway_on abc_blocks aiga_cashier aiga_hotel_inf aiga_information
aiga_lost aiga_no_parking aiga_parking aiga_waiting alerta_for aqua_button atom_button barattolo
battery_01 bb_dvd bb_usb beer1 boating_rules bunch_o_buttons buses_and_bikes bussola button_01
canarias coffe_tea comburant corrosif diamante_illuminati dimm_memory discordian drill_peterm
duck_yellow_ii earth_and_north eris_apple ex_yves extremement facilement fancy_red_button fat_man
firewall flying_spaghetti garmin gateway_andy gnome-dev-harddisk gnu_linux gps_geko hat_-_clothing
heart_roberto hikinh hydrant_romus illuminati iraq irritant kallisti kansasflag libro_di_ricette
linux_powered lorry_length mag4 magelan man_crystal md_costea media_as_wmd medicina memory_ddr mhooo
milk_ model-view ms_01 municipios navigation_display network_cloud_david nocif otto_ passo_carrabile
pfd_01 question_cedric risque_pour robot_ganson route_jakob router_andy sailing_ saudi sexy_lady
shaezy shopping_cart_mimooh_01 skoynk slate-apple squeek stylized_yoga sung_ sunwheel t-shirt_02
tasto_9 tavola_esame teacher_zazou tres_toxique trophy tux_didier unita_disco usa_arkansas
usa_california usa_northcarolina usa_virgin usb_memory volley_ball_angelo wc_romus what_have_you
""")

# Pictures per animal and style: if filled silhouettes are most of the source, its models fill
# everything, also handwriting.
ANIMAL_CAPS = {"filled": 100, "edge": 200, "skeleton": 400}

# Series of similar pictures: how many of each folder are kept.
CLIPART_CAPS = {
    "shapes/stars": 20,
    "shapes/arrows": 60,
    "shapes/jigsaw": 20,
    "people/clothing/pantyhose": 2,
    "signs_and_symbols/flags": 120,
}


def why_excluded(source: str, path: str) -> str | None:
    """Returns why a picture may show digits or writing, by its path, or None."""
    name = path.rsplit("/", maxsplit=1)[-1]
    if source == "icons":
        words = {name, *name.split("-")}
        if re.search(r"\d", name):
            return "digit in the icon's name"
        if words.intersection(ICON_WORDS) or any(len(word) == 1 and word != "x" for word in words):
            return "icon of writing"
    if source == "clipart":
        if path.startswith(tuple(f"{folder}/" for folder in CLIPART_FOLDERS)):
            return "clip-art folder of writing or textures"
        if set(re.split("[^a-z]+", name.lower())).intersection(CLIPART_WORDS):
            return "clip art named after writing"
        if name.startswith(CLIPART_SEEN):
            return "clip art seen to hold writing"
    return None


def class_of(source: str, path: str) -> str:
    """Returns the class name of a picture: style and animal, icon family, or clip-art folder."""
    first, *_, last = path.split("/")
    if source == "animals":
        return path.rsplit("/", maxsplit=1)[0]
    if source == "icons":
        family = last.split("-")[0]
        return f"icon/{family if first == 'outline' and family in ICON_FAMILIES else first}"
    return f"clipart/{'misc' if first in SMALL_FOLDERS else first}"


def series_and_cap(source: str, path: str) -> tuple[str, float]:
    """Returns a picture's series of similar pictures, and how many of it are kept."""
    if source == "animals":
        return f"animals/{class_of(source, path)}", ANIMAL_CAPS[path.split("/")[0]]
    for folder, cap in CLIPART_CAPS.items():
        if path.startswith(f"{folder}/"):
            return folder, cap
    return "", math.inf
