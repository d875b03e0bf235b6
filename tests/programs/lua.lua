-- Tables, closures and string building, SCALE times over.
local state, total = 12345, 0

local function random()
  state = (state * 1103515245 + 12345) % 2147483648
  return state
end

local function tree(depth)
  if depth == 0 then return { value = random() % 100 } end
  return { left = tree(depth - 1), right = tree(depth - 1) }
end

local function sum(node)
  return node.value or sum(node.left) + sum(node.right)
end

for turn = 1, tonumber(arg[1]) do
  local words, by_end = {}, {}
  for i = 1, 30000 do
    words[i] = string.format("%x", random()) .. string.rep("pq", random() % 11)
  end
  for _, word in ipairs(words) do
    local key = word:sub(-4)
    by_end[key] = by_end[key] or {}
    table.insert(by_end[key], word)
  end
  table.sort(words)
  local text = table.concat(words, " ")
  local changed, found = text:gsub("(%x+)(pq)", "%2%1")
  local actions = {}
  for i = 1, 5000 do actions[i] = function() return i + #words[i] end end
  for i = 1, #actions do total = (total * 31 + actions[i]()) % 1000000007 end
  print(turn, #text, found, #changed, sum(tree(13)), total)
end
