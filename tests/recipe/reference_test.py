"""The list of keys says all there is about each."""

from keras_ds2.recipe import format_recipe_keys, recipe_keys


def test_every_key_says_what_it_is():
    keys = {key.key: key for key in recipe_keys()}
    assert all(key.type and key.default and key.description for key in keys.values())
    assert keys["features.window_ms"].type == "number > 0 ms"
    assert keys["text.language"].type == "english | mandarin | none"
    assert keys["training.epochs"].default == "required"
    assert keys["training.sorta_grad"].default == "default true"
    assert keys["model.units"].default == "not set"


def test_the_text_has_every_key_under_its_section():
    lines = format_recipe_keys().splitlines()
    section = ""
    written = []
    for line in lines:
        if line.endswith(":") and not line.startswith(" "):
            section = line[:-1] + "."
        elif line.startswith("  ") and not line.startswith("   "):
            written.append(section + line.split(":")[0].strip())
        elif line and not line.startswith(" "):
            written.append(line.split(":")[0])
    assert written == [key.key for key in recipe_keys()]
    assert max(map(len, lines)) <= 120
