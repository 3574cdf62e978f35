"""XML feeds: RSS, Atom and other XML; further pictures, lines, memory, and what is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from producers.manifest import Problems, ReadOptions, open_manifest
from tests.support.manifests import good, read, refusal

_G = 'xmlns:g="http://base.google.com/ns/1.0"'
RSS = f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" {_G}>
 <channel>
  <title>Fictitious shop</title>
  <item>
   <g:id>mug</g:id>
   <title>not this</title><g:title><![CDATA[Mug & saucer]]></g:title>
   <g:image_link>s3://b/1.jpg</g:image_link>
   <g:additional_image_link>s3://b/2.jpg</g:additional_image_link>
   <g:additional_image_link>s3://b/3.jpg,s3://b/1.jpg</g:additional_image_link>
   <g:shipping><g:price>5 EUR</g:price></g:shipping>
  </item>
  <item><g:id>bowl</g:id><g:title>Bowl</g:title><g:image_link> s3://b/4.jpg
  </g:image_link></item>
  <item><g:id>air</g:id><g:title>Nothing to see</g:title></item>
 </channel>
</rss>
"""
ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom" {_G}><title>Shop</title>
<entry><id>tag:x</id><g:id>mug</g:id><g:image_link>s3://b/1.jpg</g:image_link><link href="https://shop.example/mug"/></entry>
</feed>"""


def test_a_merchant_feed() -> None:
    """The main picture has the product's id, further ones end in their numbers; each picture once; lines are told."""
    found = good(RSS)
    assert list(zip(found.ids, found.images, found.lines, strict=True)) == [
        ("mug", "s3://b/1.jpg", 5), ("mug-2", "s3://b/2.jpg", 5), ("mug-3", "s3://b/3.jpg", 5),
        ("bowl", "s3://b/4.jpg", 13),
    ]  # fmt: skip
    assert found.entries[0].meta == {"title": "Mug & saucer", "shipping.price": "5 EUR"}
    assert found.manifest.form == "a Merchant feed"
    assert found.counts == {"rows": 3, "products": 3, "pictures": 4}
    assert found.left_out["row{s} without a picture"].first == ["line 15"]


def test_an_atom_feed() -> None:
    """Google's names win over Atom's own; links are kept."""
    (entry,) = good(ATOM).entries
    assert (entry.id, entry.image, entry.meta) == ("mug", "s3://b/1.jpg", {"link": "https://shop.example/mug"})


@pytest.mark.parametrize(
    "picture",
    [
        '<enclosure url="s3://b/1.jpg" type="image/jpeg"/>',
        '<m:thumbnail xmlns:m="http://search.yahoo.com/mrss/" url="s3://b/1.jpg"/>',
        '<thumbnail url="s3://b/small.jpg"/><content url="s3://b/1.jpg"/>',
        '<m:content xmlns:m="http://search.yahoo.com/mrss/" url="s3://b/1.jpg" medium="image"/>',
        '<image_url>s3://b/1.jpg</image_url><enclosure url="s3://b/9.mp3" type="audio/mpeg"/>',
    ],
)
def test_pictures_of_rss(picture: str) -> None:
    """An enclosure or a medium that is a picture; its preview where there is no other."""
    found = good(f"<rss><channel><item><guid>a</guid>{picture}</item></channel></rss>", {"id": "guid"})
    assert (found.ids, found.images) == (["a"], ["s3://b/1.jpg"])


def test_other_xml_by_a_path() -> None:
    """`--items` names the elements; without it the likely one is said."""
    text = "<shop><list><product><sku>a</sku><pic>s3://b/1</pic></product><product><sku>b</sku></product></list></shop>"
    assert "is XML, but has neither <item> nor <entry>" in refusal(text)
    assert refusal(text).endswith("; give --items list.product")
    how = ReadOptions({"image": "pic", "id": "sku"}, items="list.product")
    assert read(text, options=how).ids == ["a"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<rss><item>", "-:1: is no XML: no element found"),
        ("<rss>\n<item>\n</rss>", "-:3: is no XML: mismatched tag"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><rss><item><image>&x;</image></item></rss>', "which are not read"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><rss/>', "which are not read"),
        ("<html><body>Log in</body></html>", "is a web page (HTML), whatever its name"),
        ("\n<!DOCTYPE HTML>\n<html><table><tr><td>id", "save it as CSV UTF-8 or .xlsx"),
        ("<rss>" + "<a>" * 5000 + "</a>" * 5000 + "</rss>", "is nested too deeply"),
        (f"<rss><item><image>{'x' * 1_100_000}</image></item></rss>", "an element is longer than 1,000,000 characters"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    """Damaged, hostile and other files are told in a sentence."""
    assert told in refusal(text)


def test_repeated_elements_are_a_picture_each() -> None:
    """None of them is passed over; the same one twice is one, and sizes of an RSS picture are one picture."""
    item = "<product><sku>{}</sku><pics>{}</pics></product>"
    pics = ("<pic>s3://b/1</pic><pic>s3://b/2</pic><pic>s3://b/1</pic>", "<pic>s3://b/3</pic><pic>s3://b/3</pic>")
    text = f"<shop>{item.format('a', pics[0])}{item.format('b', pics[1])}</shop>"
    found = good(text, options=ReadOptions({"image": "pics.pic", "id": "sku"}, items="product"))
    assert list(zip(found.ids, found.images, strict=True)) == [
        ("a-1", "s3://b/1"), ("a-2", "s3://b/2"), ("b", "s3://b/3"),
    ]  # fmt: skip
    media = '<content url="s3://b/1.jpg"/><content url="s3://b/1-small.jpg"/>'
    assert good(f"<rss><item><id>a</id>{media}</item></rss>").ids == ["a"]


def test_addresses_with_commas() -> None:
    """A service that makes pictures to measure has commas in its addresses: they divide none."""
    web = "https://img.example/w_300,h_300"
    text = RSS.replace("s3://b/1.jpg", f"{web}/1.jpg").replace("s3://b/2.jpg", f"{web}/2.jpg")
    assert good(text).images[:3] == [f"{web}/1.jpg", f"{web}/2.jpg", "s3://b/3.jpg"]


def test_a_long_feed_takes_no_memory() -> None:
    """Items are forgotten as they are read, in one line or in many."""
    item = "<item><g:id>{}</g:id><g:image_link>s3://b/{}.jpg</g:image_link><d>" + "x" * 300 + "</d></item>"
    with Path("m.xml").open("w") as file:
        file.write(f"<rss {_G}><channel>" + "".join(item.format(n, n) for n in range(2000)) + "</channel></rss>")
    manifest = open_manifest("m.xml", store=None)
    tracemalloc.start()
    count = sum(1 for _ in manifest.entries(Problems()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2000
    assert peak < 1_000_000
