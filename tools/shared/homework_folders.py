# SPDX-License-Identifier: MIT
"""The homework's folders, exactly as include/bantam/data/folders.hpp lists them. Needs Python alone."""

import os
import re
import tarfile

TRAINING = ("training", "train")
VALIDATION = ("validation", "val", "valid")
TESTING = ("testing", "test", "evaluation")
DEEPEST_FOLDER = 8
PICTURES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".avif",
            ".heic", ".heif", ".jp2", ".ppm", ".pgm", ".tga")
# What editors, downloads and backups leave behind: a picture that is there already, or a part of one.
COPIES = (".bak", ".tmp", ".temp", ".part", ".orig", ".crdownload", ".download", ".old")
SYSTEM_FOLDERS = ("@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "#snapshot", "lost+found", "__pycache__",
                  "System Volume Information")


class PictureError(ValueError):
    """A folder or picture that cannot be used; the message is one line naming it."""


def refuse_testing(data):
    """Raises where `data` is, or lies in, the testing folder of a data set."""
    path = os.path.realpath(data)
    innermost = True
    while path != os.path.dirname(path):
        parent, name = os.path.split(path)
        data_set = first_folder(path, TRAINING) and first_folder(path, VALIDATION)
        if name.lower() in TESTING and (first_folder(parent, TRAINING) or (innermost and not data_set)):
            raise PictureError(f"{data}: this is the testing folder; testing pictures get no teacher logits. "
                               "Name the folder that holds training/ and validation/")
        path, innermost = parent, False


def list_pictures(data):
    """Returns (classes, splits) as scan_homework of data/folders.hpp would.

    `splits` maps labeled, unlabeled and validation, in the order of the logits file, to lists of
    (path relative to `data`, class number or None). The testing folder is never listed.
    """
    refuse_testing(data)
    if not os.path.isdir(data):
        raise PictureError(f"{data}: no such folder; name the folder that holds training/ and validation/")
    training, validation = first_folder(data, TRAINING), first_folder(data, VALIDATION)
    for found, name in ((training, "training"), (validation, "validation")):
        if not found:
            raise PictureError(f"{os.path.join(data, name)}: no such folder; name the folder that holds training/ and "
                               "validation/")
    labeled_folder, apart = training, os.path.isdir(os.path.join(data, training, "labeled"))
    if apart:
        labeled_folder = f"{training}/labeled"
    classes = [name for name in contents(os.path.join(data, labeled_folder))[1] if name != "unlabeled"]
    unlabeled = []
    if classes or (apart and not archives(os.path.join(data, labeled_folder))):
        if all(label_of(name) is not None for name in classes):
            classes.sort(key=lambda name: (int(name), name))
        for name in contents(os.path.join(data, validation))[1]:
            if name not in classes:
                raise PictureError(f"{os.path.join(data, validation, name)}: there is no such class among the "
                                   "training folders; rename or remove it")
        labeled, validating = (by_class(data, name, classes) for name in (labeled_folder, validation))
    else:
        labeled, validating = by_name(data, labeled_folder, unlabeled), by_name(data, validation, [])
        classes = [str(label) for label in range(max((label for _, label in labeled), default=-1) + 1)]
        for path, label in validating:
            if label >= len(classes):
                raise PictureError(f"{os.path.join(data, path)}: its label {label} is out of range, expected "
                                   f"0 to {len(classes) - 1}; rename or remove it")
    for name, pictures in ((training, labeled), (validation, validating)):
        if not pictures:
            raise PictureError(f"{os.path.join(data, name)}: has no labeled pictures; expected <class>/<picture>, "
                               "<label>_<number>.jpg, or .tar files with a .cls file per picture")
    present = {label for _, label in labeled}
    for label, name in enumerate(classes):
        if label not in present:
            raise PictureError(f"{os.path.join(data, training)}: class '{name}' has no pictures; "
                               "is the data set complete?")
    if os.path.isdir(os.path.join(data, training, "unlabeled")):
        unlabeled += below(data, f"{training}/unlabeled")
    splits = {"labeled": labeled,
              "unlabeled": [(path, None) for path in sorted(unlabeled, key=os.fsencode)],
              "validation": validating}
    tests = tuple(os.path.realpath(os.path.join(data, name)) + os.sep for name in TESTING)
    for pictures in splits.values():
        for path, _ in pictures:
            if os.path.realpath(os.path.join(data, path)).startswith(tests):
                raise PictureError(f"{os.path.join(data, path)}: leads into the testing folder, whose pictures "
                                   "get no teacher logits; remove the link")
    return classes, splits


def first_folder(data, names):
    """The first of `names` that is a folder in `data`, "" for none."""
    return next((name for name in names if os.path.isdir(os.path.join(data, name))), "")


def is_picture(path):
    """Whether a file counts as a picture: by its extension, or by its first bytes."""
    name = os.path.basename(path)
    extension = name[name.rindex("."):] if "." in name else ""
    if extension.lower() in PICTURES:
        return True
    if extension.lower() in COPIES or extension.endswith("~") or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(4)
    return start.startswith((b"\xff\xd8\xff", b"\x89PNG", b"BM"))


def contents(folder):
    """(pictures, folders) in the order of their names' bytes; what is hidden or no picture is left out."""
    names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=os.fsencode)
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise PictureError(f"{folder}: the name {str(os.fsencode(name))[1:]} is not valid UTF-8; rename it") from None
    is_folder = [os.path.isdir(os.path.join(folder, name)) for name in names]
    return ([name for name, inside in zip(names, is_folder)
             if not inside and is_picture(os.path.join(folder, name))],
            [name for name, inside in zip(names, is_folder) if inside and name not in SYSTEM_FOLDERS])


def archives(folder):
    """The names of the tar archives in a folder, in the order of their bytes."""
    return sorted((name for name in os.listdir(folder) if name.endswith(".tar") and not name.startswith(".")
                   and os.path.isfile(os.path.join(folder, name))), key=os.fsencode)


def archive_of(path):
    """The archive that the path of a picture in it leads into, as shard.tar of shard.tar/000123.jpg; else ""."""
    at = path.find(".tar/")
    while at >= 0 and not os.path.isfile(path[:at + 4]):
        at = path.find(".tar/", at + 1)
    return path[:at + 4] if at >= 0 else ""


def archive_pictures(archive, with_labels):
    """(name, class number or None) of the pictures in a tar archive, as list_archive of data/folders.hpp. The programs
    check an archive more strictly when they read it."""
    try:
        with tarfile.open(archive, "r:") as file:
            members = {}
            for member in file:
                name = member.name.removeprefix("./")
                if name in members:
                    raise PictureError(f"{archive}: holds '{name}' twice; pack it again")
                hidden = any(part.startswith(".") or part in SYSTEM_FOLDERS for part in name.split("/"))
                if member.isreg() and not hidden:
                    members[name] = member

            def split(name):
                folder, base = os.path.split(name)
                key, dot, extension = base.partition(".")
                return os.path.join(folder, key), dot + extension

            pictures = [name for name in members if os.path.splitext(name)[1].lower() in PICTURES]
            plain = {split(name)[0] for name in pictures if split(name)[1].count(".") == 1}
            labels = {}
            for name, member in members.items():
                if with_labels and split(name)[1] == ".cls":
                    labels[split(name)[0]] = (name, file.extractfile(member).read(33))
            found = []
            for name in pictures:
                key, extension = split(name)
                if extension.count(".") > 1 and key in plain:
                    continue
                label = None
                if key in labels:
                    where, text = labels[key]
                    label = label_of(text.decode("latin-1").strip())
                    if label is None:
                        raise PictureError(f"{archive}: its file {where} holds {str(text)[1:]}, expected a class number "
                                           "such as 0; pack it again")
                found.append((name, label))
            return found
    except (tarfile.TarError, EOFError) as error:
        raise PictureError(f"{archive}: is no sound tar archive ({error}); fetch it again, or remove it") from None


def below(data, folder, depth=0):
    """All files below a folder, as paths relative to `data`, in the order of their bytes."""
    if depth > DEEPEST_FOLDER:
        raise PictureError(f"{os.path.join(data, folder)}: folders are nested too deeply; "
                           "does a link lead back to a folder above?")
    files, folders = contents(os.path.join(data, folder))
    found = [f"{folder}/{name}" for name in files]
    for archive in archives(os.path.join(data, folder)):
        found += [f"{folder}/{archive}/{name}" for name, _ in archive_pictures(os.path.join(data, folder, archive), False)]
    for name in folders:
        found += below(data, f"{folder}/{name}", depth + 1)
    return sorted(found, key=os.fsencode)


def by_class(data, folder, classes):
    for archive in archives(os.path.join(data, folder)):
        raise PictureError(f"{os.path.join(data, folder, archive)}: lies beside class folders, or training has some; put "
                           "it into the folder of its class")
    return [(path, label) for label, name in enumerate(classes)
            if os.path.isdir(os.path.join(data, folder, name)) for path in below(data, f"{folder}/{name}")]


def label_of(text):
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else None


def by_name(data, folder, unlabeled):
    """The files named <label>_<anything> and the pictures of archives that have a .cls file, by label, then name. The
    pictures of archives without one are added to `unlabeled`; other files are ignored."""
    found = []
    for name in contents(os.path.join(data, folder))[0]:
        label = label_of(name.split("_", 1)[0]) if "_" in name else None
        if label is not None:
            found.append((f"{folder}/{name}", label))
    for archive in archives(os.path.join(data, folder)):
        for name, label in archive_pictures(os.path.join(data, folder, archive), True):
            path = f"{folder}/{archive}/{name}"
            if label is None:
                unlabeled.append(path)
            else:
                found.append((path, label))
    return sorted(found, key=lambda entry: (entry[1], os.fsencode(entry[0])))
