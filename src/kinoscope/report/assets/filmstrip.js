// Thumbnails along the timeline's axis: as many as fit, each the nearest to the middle of its place.

const STRIP_HEIGHT = 54;
const MOST_PICTURES = 300;

function createFilmstrip(page, player) {
  const track = element("div", "track film");
  const times = page.thumbnails.map(([time]) => time);
  let aspect = 16 / 9;
  let drawn = 0;
  const layOut = (width) => {
    const count = clamp(Math.round(width / (STRIP_HEIGHT * aspect)), 1, MOST_PICTURES);
    if (count === drawn) return;
    drawn = count;
    track.replaceChildren(
      ...Array.from({ length: count }, (_, index) => {
        const middle = ((index + 0.5) / count) * page.duration;
        return element("img", "", { src: page.thumbnails[nearest(times, middle)][1], alt: "", draggable: false });
      }),
    );
  };
  const first = element("img", "", { src: page.thumbnails[0][1] });
  first.addEventListener("load", () => {
    aspect = clamp(first.naturalWidth / first.naturalHeight, 0.4, 3);
    drawn = 0;
    layOut(track.clientWidth);
  });
  track.addEventListener("pointermove", (event) => showTooltip([clock(timeAt(track, event, page.duration))], event.clientX, event.clientY));
  track.addEventListener("pointerleave", hideTooltip);
  scrubbing(track, page, player);
  return { row: element("div", "row", {}, element("div", "gutter", {}, element("span", "name", {}, "Frames")), track), layOut };
}
