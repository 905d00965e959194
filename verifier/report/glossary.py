"""The words of the page, each in a sentence or two."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("Bundle", "The files that an owner publishes: claims, proof, picture, and signatures if there are any."),
    (
        "Fingerprint",
        "512 whole numbers computed from a model's weights by a fixed recipe. Models made from one another have nearly "
        "equal ones; also called the vector v.",
    ),
    (
        "Picture",
        "The fingerprint drawn for eyes. Relatives look alike; as evidence, compare numbers.",
    ),
    ("Six words", "A name for exactly this fingerprint under exactly this model id."),
    (
        "Commitment, root",
        "A short number that fixes a large set of numbers without showing them: whoever published it cannot exchange "
        "them later. The root is that number.",
    ),
    (
        "Model id",
        "The name of a commitment together with everything that gives its numbers a meaning. It is the name to compare "
        "with what the owner published elsewhere.",
    ),
    (
        "Zero-knowledge proof",
        "A proof that convinces without showing what it is about: here, without showing any weight of the model.",
    ),
    (
        "Provable bits",
        "How hard cheating is: with 100 bits, one attempt to prove something false succeeds with a chance below 1 in "
        "2 to the power of 100.",
    ),
    (
        "Owner's signature",
        "Says that the holder of a key stands behind this bundle; whose key, it does not say.",
    ),
    (
        "Auditor",
        "Somebody who was shown the model, computed everything again and signed. Counts if you know the auditor's key.",
    ),
    (
        "Generator",
        "The program that draws a fingerprint. The embedded one comes with huref; others are foreign.",
    ),
    ("Profile", "The name of the recipe that computes the fingerprint."),
    (
        "Challenge",
        "Bytes that the recipe's tables are drawn from. Evidence only if nobody knew them before the commitment.",
    ),
    ("Token", "A piece of text that a model reads as one; a fingerprint is taken at a fixed choice of them."),
    (
        "Layer, shift, clamp",
        "One step of the recipe; by how many binary digits its result is rounded; the largest value that is kept.",
    ),
    (
        "Message, challenge",
        "What the proof says, and the random questions it has to answer, drawn by hashing all that was said before.",
    ),
    (
        "Opened positions",
        "Places, chosen by challenge, at which committed data are shown masked and checked.",
    ),
    ("Soundness", "That false claims do not pass. The ledger lists the chance of each round, in bits."),
)
"""Term and explanation, in the order in which a reader meets them."""
