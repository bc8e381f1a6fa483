// Start: tabs for the videos; a page is built when it is shown for the first time.

const data = JSON.parse(document.getElementById("report-data").textContent);
const sections = [...document.querySelectorAll("section.page")];
const links = [...document.querySelectorAll("nav.videos a")];
const players = new Map();

function sourceOf(page, index) {
  if (!page.media.embedded) return page.media.href;
  const holder = document.getElementById(`media-${index}`);
  const bytes = bytesOf(holder.textContent);
  holder.remove(); // the text is a third larger than the video
  return URL.createObjectURL(new Blob([bytes], { type: page.media.mime }));
}

function build(section, index) {
  const page = data.pages[index];
  const predicted = readSegments(page.segments, "prediction");
  const truth = readSegments(page.truth, "truth");
  const segments = [...truth, ...predicted];
  const followers = [];
  let player = null;
  const tell = (time, playing) => {
    followers.forEach((follower) => follower.update(time, playing));
    if (player) showNow(player.now, segments, time);
  };
  // Without a film a clock that nobody sees keeps timeline and maps together.
  const screen = section.querySelector(".player") ?? element("div");
  player = createPlayer(screen, page, sourceOf(page, index), tell);
  if (page.film || segments.length) followers.push(createTimeline(section.querySelector(".timeline"), page, data.labels, segments, player));
  if (page.maps.length) followers.push(createMaps(section.querySelector(".maps"), page, truth, player));
  followers.push(linkRows(section.querySelector("table.segments"), predicted, player));
  followers.push(linkRows(section.querySelector("table.truth"), truth, player));
  tell(player.time(), false);
  return player;
}

// What happens right now, under the player.
function showNow(host, segments, time) {
  const active = segments.filter((segment) => segment.kind === "prediction" && isActive(segment, time));
  const key = `${clock(time, 1)} ${active.map((segment) => segment.row).join()}`;
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  const chips = active.slice(0, 6).map((segment) => {
    const score = segment.score === null ? "" : segment.score.toFixed(2);
    return paint(element("span", "chip", {}, element("span", "name", {}, data.labels[segment.label]), element("b", "", {}, score)), segment.label);
  });
  host.replaceChildren(element("time", "", {}, clock(time, 1)), ...(chips.length ? chips : [element("span", "quiet", {}, "nothing detected here")]));
}

function show(index) {
  sections.forEach((section, other) => (section.hidden = other !== index));
  links.forEach((link, other) => (other === index ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  links[index]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  for (const player of players.values()) if (player.playing()) player.pause();
  if (!players.has(index)) players.set(index, build(sections[index], index));
}

function wanted() {
  const match = /^#video-(\d+)$/.exec(location.hash);
  return match ? clamp(Number(match[1]) - 1, 0, sections.length - 1) : 0;
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("figure.chart").forEach(explainChart);
if (sections.length) {
  links.forEach((link, index) =>
    link.addEventListener("click", (event) => {
      event.preventDefault(); // changing the address would scroll the page
      history.replaceState(null, "", `#video-${index + 1}`);
      show(index);
    }),
  );
  window.addEventListener("hashchange", () => show(wanted()));
  show(wanted());
}
document.documentElement.classList.add("ready");
