// From a disk, browsers let no page read others, so search shows titles alone there.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
// A picture opens in its own size, which narrow screens need.
for (const picture of document.querySelectorAll("article img")) {
  if (!picture.closest("a")) {
    const link = document.createElement("a");
    link.href = picture.src;
    picture.replaceWith(link);
    link.append(picture);
  }
}
